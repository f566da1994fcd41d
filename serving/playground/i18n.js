// The page's words in English and Chinese, and numbers as either writes them.

const EN = {
  title: "Roadmap models",
  tagline: "Every model on this server, to be tried by hand.",
  docs: "API docs",
  language: "中文",
  skip: "Skip to the model",
  models: "Models",
  loading: "Loading…",
  rousing: "{name} is being loaded…",
  noModels: "No model is here yet. `make run` (or `dvc repro`) makes them; then start the server again.",
  refused: "This model is not served.",
  about: "About this model",
  input: "Input",
  answer: "Answer",
  command: "The same as a command",
  copy: "Copy",
  copied: "Copied",
  raw: "Answer as JSON",
  examples: "Examples",
  example: "Example {n}",
  clear: "Clear",
  unknown: "unknown",
  none: "none",
  true: "yes",
  false: "no",
  version: "Version",
  profile: "Profile",
  source: "Trained on",
  created: "Created",
  commit: "Git commit",
  size: "Size",
  "profile.sample": "sample profile",
  "profile.full": "full profile",
  key: "API key",
  keySend: "Use this key",
  keyHint: "This server wants a key. It stays in this tab and is forgotten when you close it.",
  retry: "Try again in {seconds} s.",
  modelSees: "What the model sees: {size} × {size}",
  curve: "{answer} by {field}, all else as it is",
  "problem.0": "This did not work",
  "problem.400": "The request is not right",
  "problem.401": "The server wants a key",
  "problem.403": "This key may not ask this model",
  "problem.404": "There is no such model",
  "problem.413": "This is too large",
  "problem.415": "The server does not take this type",
  "problem.422": "The model cannot take this",
  "problem.429": "Too many requests",
  "problem.500": "The server made a mistake",
  "problem.503": "The server is busy",
  "problem.504": "This took too long",
  unreachable: "The server does not answer. Is it still running?",
  "draw.invitation": "Draw a digit. The model guesses while you draw.",
  "draw.waiting": "Draw a digit, and its guess appears here.",
  "draw.pad": "Drawing area, white on black. Arrow keys move the pen, Space puts it down or lifts it.",
  "draw.keys": "Mouse, pen or finger. By keyboard: arrows move, Space puts the pen down or lifts it.",
  "picture.invitation": "Give it a picture. It says what is on it.",
  "picture.waiting": "Choose a picture, and what is on it appears here.",
  "picture.choose": "Choose, drop or paste a picture",
  "picture.hint": "The middle of it is scaled to {size} × {size} in your browser.",
  "picture.broken": "{name} is not a picture that this browser can open.",
  "text.invitation": "Write a review. The words that counted light up.",
  "text.waiting": "Write something, and the verdict appears here.",
  "text.placeholder": "I watched it twice, and…",
  "text.counted": "The words that counted",
  "text.for": "for “{label}”",
  "text.against": "against it",
  "text.cut": "The model reads the first {read} characters.",
  "form.invitation": "Change a value, and the answer follows.",
  "form.waiting": "The answer appears here.",
  "series.invitation": "Where the price may go: the fan shows how sure the model is.",
  "series.waiting": "The forecast appears here.",
  "series.title": "Forecast",
  "series.headline": "In {days} days between {low} and {high}, 8 times of 10",
  "series.chart": "History of the price and the fan of forecasts; the table below has the figures",
  "series.stir": "What if the last {days} days had been",
  "series.calm": "calmer",
  "series.wild": "wilder",
  "series.own": "Your own prices",
  "series.prices": "Closing prices, oldest first, with commas, spaces or lines between",
  "series.least": "At least {least} prices.",
  "series.count": "{count} of at least {least} prices.",
  "series.numbers": "Something here is not a number.",
  "series.today": "today",
  "series.days": "Days",
  "series.median": "Median",
  "series.80": "80% interval",
  "series.95": "95% interval",
  "series.up": "Higher than today",
  "write.invitation": "Begin a text, and watch the model go on.",
  "write.waiting": "Press Write, and the text appears here.",
  "write.start": "Write",
  "write.stop": "Stop",
  "write.more": "Go on from here",
  "write.settings": "Sampling",
  "write.random": "random",
  "write.writing": "Writing…",
  "write.speed": "{tokens} tokens, {rate} per second",
  "write.length": "Longest answer reached",
  "write.stopped": "Stopped",
  "write.max_tokens": "length of the answer",
  "write.temperature": "0: always the likeliest; higher: bolder",
  "write.top_p": "only the likeliest tokens that together have this share",
  "write.top_k": "only so many of the likeliest tokens; 0: all",
  "write.repetition_penalty": "1: none; higher: fewer repetitions",
};

const ZH = {
  title: "路线图模型",
  tagline: "本服务器上的每个模型，都可以亲手试一试。",
  docs: "API 文档",
  language: "English",
  skip: "跳到模型",
  models: "模型",
  loading: "加载中…",
  rousing: "正在载入{name}…",
  noModels: "这里还没有模型。先运行 `make run`（或 `dvc repro`），再重启服务器。",
  refused: "此模型未提供服务。",
  about: "关于此模型",
  input: "输入",
  answer: "结果",
  command: "等价的命令",
  copy: "复制",
  copied: "已复制",
  raw: "JSON 格式的回答",
  examples: "示例",
  example: "示例 {n}",
  clear: "清空",
  unknown: "未知",
  none: "无",
  true: "是",
  false: "否",
  version: "版本",
  profile: "配置",
  source: "训练数据",
  created: "创建时间",
  commit: "Git 提交",
  size: "大小",
  "profile.sample": "sample 配置",
  "profile.full": "full 配置",
  key: "API 密钥",
  keySend: "使用此密钥",
  keyHint: "此服务器需要密钥。密钥只留在本标签页，关闭后即被遗忘。",
  retry: "请在 {seconds} 秒后重试。",
  modelSees: "模型看到的：{size} × {size}",
  curve: "{answer}随{field}的变化（其他不变）",
  "problem.0": "没有成功",
  "problem.400": "请求有误",
  "problem.401": "服务器需要密钥",
  "problem.403": "此密钥无权使用该模型",
  "problem.404": "没有这个模型",
  "problem.413": "内容太大",
  "problem.415": "服务器不接受此类型",
  "problem.422": "模型无法处理此输入",
  "problem.429": "请求过于频繁",
  "problem.500": "服务器出错了",
  "problem.503": "服务器正忙",
  "problem.504": "耗时过长",
  unreachable: "服务器没有响应。它还在运行吗？",
  "draw.invitation": "写一个数字，边写边猜。",
  "draw.waiting": "写一个数字，模型的猜测会显示在这里。",
  "draw.pad": "手写区，黑底白字。方向键移动画笔，空格键落笔或抬笔。",
  "draw.keys": "可用鼠标、笔或手指。用键盘：方向键移动，空格键落笔或抬笔。",
  "picture.invitation": "给它一张图片，它来说图里是什么。",
  "picture.waiting": "选一张图片，图里是什么会显示在这里。",
  "picture.choose": "选择、拖入或粘贴图片",
  "picture.hint": "浏览器会把图片中央部分缩放为 {size} × {size}。",
  "picture.broken": "{name} 不是浏览器能打开的图片。",
  "text.invitation": "写一段评论，起作用的词会亮起来。",
  "text.waiting": "写点什么，判断结果会显示在这里。",
  "text.placeholder": "I watched it twice, and…",
  "text.counted": "起作用的词",
  "text.for": "支持“{label}”",
  "text.against": "反对",
  "text.cut": "模型只读前 {read} 个字符。",
  "form.invitation": "改动一个值，结果随之变化。",
  "form.waiting": "结果会显示在这里。",
  "series.invitation": "价格可能走向何处：扇形显示模型有多大把握。",
  "series.waiting": "预测会显示在这里。",
  "series.title": "预测",
  "series.headline": "{days} 天后有八成可能在 {low} 到 {high} 之间",
  "series.chart": "历史价格与预测扇形图，具体数字见下表",
  "series.stir": "如果最近 {days} 天的行情",
  "series.calm": "更平静",
  "series.wild": "更剧烈",
  "series.own": "用自己的价格",
  "series.prices": "收盘价，由旧到新，用逗号、空格或换行分隔",
  "series.least": "至少 {least} 个价格。",
  "series.count": "已有 {count} 个，至少需要 {least} 个。",
  "series.numbers": "其中有不是数字的内容。",
  "series.today": "今天",
  "series.days": "天数",
  "series.median": "中位数",
  "series.80": "80% 区间",
  "series.95": "95% 区间",
  "series.up": "高于今天的概率",
  "write.invitation": "写个开头，看模型续写。",
  "write.waiting": "点击“续写”，文字会显示在这里。",
  "write.start": "续写",
  "write.stop": "停止",
  "write.more": "接着写",
  "write.settings": "采样设置",
  "write.random": "随机",
  "write.writing": "正在写…",
  "write.speed": "{tokens} 个词元，每秒 {rate} 个",
  "write.length": "已到最大长度",
  "write.stopped": "已停止",
  "write.max_tokens": "回答的长度",
  "write.temperature": "0：总选最可能的；越高越大胆",
  "write.top_p": "只在合计占此比例的最可能词元中选",
  "write.top_k": "只在最可能的若干词元中选；0：全部",
  "write.repetition_penalty": "1：不惩罚；越高重复越少",
};

// Names that models and their tables use, as a person would say them. What is not here is shown as it is.
const NAMES_EN = {
  mnist: "Handwritten digits",
  cifar10: "Pictures",
  imdb: "Film reviews",
  mini_gpt: "Mini GPT",
  Pclass: "Class",
  SibSp: "Siblings, spouse",
  Parch: "Parents, children",
  label: "Verdict",
  interval_80: "80% interval",
  interval_95: "95% interval",
};
const NAMES_ZH = {
  house_prices: "房价",
  titanic: "泰坦尼克号",
  mnist: "手写数字",
  cifar10: "图片分类",
  imdb: "影评情感",
  stocks: "股价区间",
  mini_gpt: "迷你 GPT",
  label: "判断",
  probability: "概率",
  probabilities: "各类概率",
  prediction: "预测值",
  digit: "数字",
  text: "文字",
  prompt: "开头",
  "the likelier class": "较可能的一类",
  "the target column, in its own unit": "目标列，单位不变",
  positive: "正面",
  negative: "负面",
  survived: "生还",
  died: "遇难",
  male: "男",
  female: "女",
  adult: "成人",
  child: "儿童",
  crew: "船员",
  class: "舱位",
  sex: "性别",
  age: "年龄",
  Pclass: "舱位",
  Sex: "性别",
  Age: "年龄",
  Title: "称谓",
  SibSp: "兄弟姐妹与配偶",
  Parch: "父母与子女",
  Fare: "票价",
  Deck: "甲板",
  Embarked: "登船港口",
  "1st": "一等舱",
  "2nd": "二等舱",
  "3rd": "三等舱",
  area_m2: "面积（平方米）",
  rooms: "房间数",
  age_years: "房龄（年）",
  distance_km: "距市中心（公里）",
  district: "城区",
  longitude: "经度",
  latitude: "纬度",
  housing_median_age: "房龄中位数",
  total_rooms: "房间总数",
  total_bedrooms: "卧室总数",
  population: "人口",
  households: "户数",
  median_income: "收入中位数",
  ocean_proximity: "离海距离",
  circle: "圆",
  square: "正方形",
  triangle: "三角形",
  hexagon: "六边形",
  star: "星形",
  cross: "十字",
  ring: "圆环",
  heart: "心形",
  diamond: "菱形",
  crescent: "月牙",
  airplane: "飞机",
  automobile: "汽车",
  bird: "鸟",
  cat: "猫",
  deer: "鹿",
  dog: "狗",
  frog: "青蛙",
  horse: "马",
  ship: "船",
  truck: "卡车",
  history: "历史",
  median: "中位数",
  interval_80: "80% 区间",
  interval_95: "95% 区间",
  max_tokens: "最大长度",
  temperature: "温度",
  top_p: "核采样 top_p",
  top_k: "top_k",
  repetition_penalty: "重复惩罚",
  seed: "随机种子",
};

const WORDS = { en: [EN, NAMES_EN], zh: [ZH, NAMES_ZH] };

let spoken = chosen() ?? (navigator.language.startsWith("zh") ? "zh" : "en");

function chosen() {
  const asked = new URLSearchParams(location.search).get("lang") ?? stored();
  return asked in WORDS ? asked : null;
}

function stored() {
  try {
    return localStorage.getItem("language");
  } catch {
    return null; // a browser may forbid storage
  }
}

export const language = () => spoken;
export const other = () => (spoken === "en" ? "zh" : "en");

export function speak(next) {
  spoken = next;
  try {
    localStorage.setItem("language", next);
  } catch {
    // then the choice lasts until the page is closed
  }
}

/** The page's own words. */
export function say(key, values = {}) {
  const text = WORDS[spoken][0][key] ?? EN[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** A name out of a model's schema or answer. */
export function glossary(name) {
  const known = WORDS[spoken][1][name];
  if (known) return known;
  return /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name)
    ? (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ")
    : name;
}

export function number(value) {
  const size = Math.abs(value);
  if (size >= 1e15 || (value !== 0 && size < 1e-4)) return value.toExponential(3);
  return value.toLocaleString(spoken, {
    maximumFractionDigits: size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4,
  });
}

export const price = (value) =>
  Math.abs(value) < 1
    ? number(value)
    : value.toLocaleString(spoken, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const percent = (share, digits = 1) =>
  share.toLocaleString(spoken, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });

export function date(iso) {
  const when = new Date(iso);
  return isNaN(when) ? iso : when.toLocaleString(spoken, { dateStyle: "medium", timeStyle: "short" });
}
