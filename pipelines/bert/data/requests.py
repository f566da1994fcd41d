"""Generates requests to the customer service of a shop, in English and Chinese, with known intents.

Two things are hard for a bag of words:

aside      "I'm not asking where is my refund, but I need an invoice", "不是问退款什么时候到，是快递到哪了":
           in one of sixteen requests another one is told and set aside
order      "I paid, but no invoice came" and "the invoice came, but I can't pay" have the same words

Requests that belong to no intent come as a set of their own: small talk and questions about the world, some of them
with the shop's own words ("who invented the refund?").
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ASIDE = 0.06  # share of requests that set another one aside
CHOICE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Asked:
    text: str
    intent: str | None  # None: of no intent
    language: str  # en, zh
    kind: str  # plain, aside; outside: far, near


@dataclass(frozen=True)
class Language:
    """Templates, in which {a|b} is one of a and b.

    intents     by name; they mention what they are about
    asides      {request} is what is meant; {other}, a request of another intent, is not
    """

    intents: Mapping[str, Sequence[str]]
    asides: Sequence[str]
    greetings: Sequence[str]
    thanks: Sequence[str]
    far: Sequence[str]
    near: Sequence[str]
    space: str


ENGLISH = Language(
    intents={
        "track_order": (
            "{where is|where's|any news of} my {order|parcel|package|delivery}",
            "{when will|how long until} my {order|parcel|package|shipment} {arrive|get here|be delivered}",
            "my {parcel|package|shipment} {has not arrived|is late|still isn't here} {yet|after a week|since Monday}",
            "I paid {last week|on Friday}, but no {parcel|package} came",
        ),
        "cancel_order": (
            "{please|I'd like to|can you} {cancel|stop|call off} my {order|purchase}",
            "I {changed my mind|ordered by mistake}, {don't send|stop} the {order|parcel}",
            "I no longer {want|need} what I {ordered|bought} {today|this morning}, don't send it",
        ),
        "return_item": (
            "{how do I|can I|I want to} {return|send back} {the shoes|this jacket|a lamp|the kettle}",
            "{the shoes|this jacket|the lamp} {is too small|does not fit|is not what I expected}, I'll send it back",
            "the {parcel|package} came, but I don't {want|like} what's in it",
        ),
        "refund_status": (
            "{where is|when do I get} my {refund|money back}",
            "you {have had|received} my return {for a week|since Monday}, but no {refund|money} came",
            "{has|how long until} my {refund|money} {been sent|is back on my card}",
        ),
        "change_address": (
            "{please|I need to|can I} {change|correct|update} {my|the delivery} address",
            "I {moved|have moved} {last week|to Leeds|to another flat}, send the {order|parcel} there",
            "the {street|house number|postcode} on my {order|parcel} is {wrong|an old one}",
        ),
        "payment_failed": (
            "my {card|payment|transfer} was {declined|rejected|refused}",
            "the {invoice|order} came, but I can't pay {it|with my card}",
            "{paying|the checkout|your payment page} {fails|does not work|shows an error} {every time|since noon}",
        ),
        "invoice": (
            "{please send|I need|can I have} {an invoice|a receipt|a bill} for my {order|purchase}",
            "I {paid|could pay} {last week|with my card}, but no {invoice|receipt} came",
            "my {company|accountant|boss} {needs|asks for} {an invoice|a receipt|the VAT number}",
        ),
        "discount": (
            "{my|the} {voucher|coupon|discount code} {is not accepted|does not work|has expired}",
            "{is there|do you have} a {discount|voucher|student price} {for new customers|this week|on shoes}",
            "{how do I use|where do I enter} {a voucher|my coupon|the discount code}",
        ),
        "stock": (
            "{do you have|is there|are there} {the lamp|this jacket|the shoes} in {my size|blue|stock}",
            "{when will|when is} {the kettle|this jacket|the lamp} {be available|be back|back in stock}",
            "{the shoes|the kettle|this lamp} {is sold out|can't be ordered}, {will there be more|until when}",
        ),
        "account": (
            "I {forgot|lost|can't change} my {password|login}",
            "I can't {log in|sign in|get into my account}{| since noon| any more}",
            "{please|can you} {reset|delete|unlock} my {account|password|login}",
        ),
    },
    asides=(
        "I'm not asking {other}, but {request}",
        "{other} is solved; now {request}",
        "{request}; {other} is solved",
    ),
    greetings=("hi, ", "hello, ", "good morning, ", "hi there, ", "", "", "", ""),
    thanks=(", thanks", ", please help", ", thank you", "", "", ""),
    far=(
        "{what's|how is} the weather {tomorrow|in Oslo|at the coast}",
        "{tell me|do you know} {a joke|a bedtime story|a riddle}",
        "who {won|scored in} the {match|final|race} {yesterday|on Sunday}",
        "how {tall|old|far away} is {the moon|Mount Everest|the sun|the Eiffel tower}",
        "{what is|how do you say} {seven times eight|the square root of two|good night in Spanish}",
        "{recommend|name} {a film|a novel|a song} {for tonight|for children|about the sea}",
        "how do I {cook rice|grow tomatoes|tie a bow tie|learn the piano}",
    ),
    near=(
        "who {invented|wrote about} {the refund|the invoice|the parcel|vouchers}",
        "what does {refund|invoice|password|stock} mean in {French|Latin|German}",
        "{write|sing} {a poem|a song} about {a late parcel|my address|a sold out lamp}",
        "{how many|which} {parcels|shoes|jackets} {fit into a car|does a king own|are there in the world}",
        "is {a lamp|a kettle|a card} {alive|heavier than the moon|good for my dog}",
    ),
    space=" ",
)
CHINESE = Language(
    intents={
        "track_order": (
            "我的{订单|包裹|快递}{到哪了|在哪里|有消息吗}",
            "{包裹|快递|我买的东西}{什么时候|几天|多久}能{到|送到|收到}",
            "{包裹|快递}{还没到|晚了|一直没来}，{都一周了|已经三天了|星期一就该到的}",
            "{上周|周五}就付了款，{包裹|快递}却没收到",
        ),
        "cancel_order": (
            "{我想|请帮我|麻烦}{取消|撤销|停掉}{订单|这次购买}",
            "我{改主意了|下错单了}，{订单|东西}不要发了",
            "{今天|早上}{买|下单}的东西我不{要|需要}了，别发货",
        ),
        "return_item": (
            "{鞋子|这件外套|台灯|水壶}{怎么|能不能|我想}{退货|退回去}",
            "{鞋子|外套|台灯}{太小了|不合适|和想的不一样}，我要寄回去",
            "{包裹|快递}收到了，可是东西我不{喜欢|想要}",
        ),
        "refund_status": (
            "我的{退款|钱}{什么时候到|在哪里|怎么还没退}",
            "退的货你们{收到一周了|星期一就收到了}，{退款|钱}却没到",
            "{退款|钱}{退了吗|多久能回到卡里}",
        ),
        "change_address": (
            "{我想|请帮我|怎么}{改|更正|更新}{收货地址|地址}",
            "我{上周搬家了|搬到杭州了|换了住处}，{订单|包裹}请送到新家",
            "{订单|包裹}上的{街道|门牌号|邮编}{写错了|是旧的}",
        ),
        "payment_failed": (
            "我的{银行卡|付款|转账}{被拒了|没成功|失败了}",
            "{发票|订单}收到了，可是{付不了款|刷不了卡}",
            "{付款|结账|支付页面}{总是失败|打不开|一直报错}",
        ),
        "invoice": (
            "{请开|我要|能给我}{一张发票|收据|账单}",
            "{上周|刷卡}已经付了款，{发票|收据}却没收到",
            "我们{公司|会计|老板}{要|催}{发票|收据|税号}",
        ),
        "discount": (
            "{我的|这张}{优惠券|折扣码|代金券}{用不了|不能用|过期了}",
            "{有没有|现在有}{新客优惠|学生价|折扣}吗",
            "{优惠券|折扣码}{怎么用|在哪里填}",
        ),
        "stock": (
            "{台灯|这件外套|鞋子}{有我的尺码|有蓝色|有现货}吗",
            "{水壶|这件外套|台灯}{什么时候|几时}{有货|补货|再上架}",
            "{鞋子|水壶|台灯}{卖完了|下不了单}，{还会有吗|要等多久}",
        ),
        "account": (
            "我{忘了|丢了|改不了}{密码|登录名}",
            "{今天|一直|怎么也}{登录不上|登不进去|进不了账户}",
            "{请帮我|能不能}{重置|注销|解锁}{账户|密码}",
        ),
    },
    asides=(
        "不是问{other}，是{request}",
        "{other}已经解决了，现在{request}",
        "{request}，{other}已经解决了",
    ),
    greetings=("你好，", "您好，", "在吗，", "", "", "", ""),
    thanks=("，谢谢", "，麻烦了", "，请帮忙", "", "", ""),
    far=(
        "{明天|周末|上海}天气怎么样",
        "{讲|说}{个笑话|个故事|个谜语}",
        "{昨天|周日}的{比赛|决赛}谁赢了",
        "{月亮|太阳|珠穆朗玛峰}{有多高|多大年纪|有多远}",
        "{七乘八是多少|二的平方根是多少|晚安用西班牙语怎么说}",
        "推荐{一部电影|一本小说|一首歌}",
        "怎么{煮饭|种番茄|打领带|学钢琴}",
    ),
    near=(
        "{退款|发票|快递|优惠券}是谁发明的",
        "{退款|发票|密码|库存}用{法语|德语}怎么说",
        "写{一首诗|一首歌}，{写晚到的快递|写我的地址|写卖完的台灯}",
        "{一辆车|全世界}{装得下|有}多少{包裹|鞋子|外套}",
        "{台灯|水壶|银行卡}{有生命吗|比月亮重吗|对狗好吗}",
    ),
    space="",
)
LANGUAGES = {"en": ENGLISH, "zh": CHINESE}
INTENTS = list(ENGLISH.intents)


def generate(rows: int, seed: int) -> list[Asked]:
    """Requests with an intent; half are English. The same seed gives the same requests."""
    rng = np.random.default_rng([seed, 0])
    return [inside(rng) for _ in range(rows)]


def generate_outside(rows: int, seed: int) -> list[Asked]:
    """Requests that belong to no intent; half of them have the shop's words."""
    rng = np.random.default_rng([seed, 1])
    found = []
    for _ in range(rows):
        code, kind = str(rng.choice(list(LANGUAGES))), str(rng.choice(["far", "near"]))
        language = LANGUAGES[code]
        body = filled(one_of(language.far if kind == "far" else language.near, rng), rng)
        found.append(Asked(polite(body, language, rng), None, code, kind))
    return found


def inside(rng: np.random.Generator) -> Asked:
    code, intent = str(rng.choice(list(LANGUAGES))), str(rng.choice(INTENTS))
    language = LANGUAGES[code]
    body, kind = filled(one_of(language.intents[intent], rng), rng), "plain"
    if rng.random() < ASIDE:
        kind, another = "aside", one_of([name for name in INTENTS if name != intent], rng)
        other = filled(one_of(language.intents[another], rng), rng)
        body = filled(one_of(language.asides, rng), rng, {"request": body, "other": other})
    return Asked(polite(body, language, rng), intent, code, kind)


def filled(template: str, rng: np.random.Generator, parts: Mapping[str, str] | None = None) -> str:
    """The template with its `parts` and, in every other pair of braces, a choice."""
    named = parts or {}
    return CHOICE.sub(lambda match: named.get(match[1]) or one_of(match[1].split("|"), rng), template)


def polite(body: str, language: Language, rng: np.random.Generator) -> str:
    text = f"{one_of(language.greetings, rng)}{body}{one_of(language.thanks, rng)}"
    end = one_of(("", ".", "?") if language.space else ("", "。", "？"), rng)
    return text[0].upper() + text[1:] + end if rng.random() < 0.7 else text + end


def one_of(items: Sequence[str], rng: np.random.Generator) -> str:
    return items[int(rng.integers(len(items)))]
