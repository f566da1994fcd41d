"""Published architectures; what their authors state stands beside each, in their own digits."""

from dataclasses import replace

from roadmap.sizing.architecture import Architecture, Latent

GPT_2 = Architecture(
    "gpt-2", "Radford et al., 2019, table 2; parameters as corrected in OpenAI's repository", 50_257, 768, 12, 12, 3072,
    1024, positions=1024, gated=False, bias=True, tied=True, published="124M",
)  # fmt: skip
GPT_2_XL = replace(GPT_2, name="gpt-2-xl", width=1600, layers=48, heads=25, hidden=6400, published="1558M")
GPT_3 = replace(
    GPT_2, name="gpt-3", source="Brown et al., 2020, table 2.1", width=12_288, layers=96, heads=96, hidden=49_152,
    context=2048, positions=2048, published="175B",
)  # fmt: skip

LLAMA_2_7B = Architecture(
    "llama-2-7b", "Touvron et al., LLaMA, 2023, table 2, and Llama 2, table 1", 32_000, 4096, 32, 32, 11_008, 4096,
    published="6.7B",
)  # fmt: skip
LLAMA_2_13B = replace(
    LLAMA_2_7B, name="llama-2-13b", width=5120, layers=40, heads=40, hidden=13_824, published="13.0B"
)  # fmt: skip
LLAMA_2_70B = replace(
    LLAMA_2_7B, name="llama-2-70b", source="Touvron et al., Llama 2, 2023, table 1 and A.2.1", width=8192, layers=80,
    heads=64, kv_heads=8, hidden=28_672, published="69B",
)  # fmt: skip
LLAMA_3_8B = Architecture(
    "llama-3.1-8b", "The Llama 3 Herd of Models, 2024, table 3", 128_256, 4096, 32, 32, 14_336, 131_072, kv_heads=8,
    published="8B",
)  # fmt: skip
LLAMA_3_70B = replace(
    LLAMA_3_8B, name="llama-3.1-70b", width=8192, layers=80, heads=64, hidden=28_672, published="71B"
)  # fmt: skip
LLAMA_3_405B = replace(
    LLAMA_3_8B, name="llama-3.1-405b", width=16_384, layers=126, heads=128, hidden=53_248, published="405B"
)  # fmt: skip
LLAMA_3_2_1B = Architecture(
    "llama-3.2-1b", "model card, 2024", 128_256, 2048, 16, 32, 8192, 131_072, kv_heads=8, tied=True, published="1.23B"
)  # fmt: skip

MISTRAL_7B = Architecture(
    "mistral-7b", "Jiang et al., Mistral 7B, 2023, table 1; parameters from the announcement", 32_000, 4096, 32, 32,
    14_336, 8192, kv_heads=8, window=4096, published="7.2B",
)  # fmt: skip
MIXTRAL_8X7B = Architecture(
    "mixtral-8x7b", "Jiang et al., Mixtral of Experts, 2024, table 1 and section 3", 32_000, 4096, 32, 32, 14_336,
    32_768, kv_heads=8, experts=8, active=2, published="47B", published_active="13B",
)  # fmt: skip
MIXTRAL_8X22B = replace(
    MIXTRAL_8X7B, name="mixtral-8x22b", source="announcement, 2024", vocab=32_768, width=6144, layers=56, heads=48,
    hidden=16_384, context=65_536, published="141B", published_active="39B",
)  # fmt: skip

QWEN_2_5_7B = Architecture(
    "qwen-2.5-7b", "Qwen2.5 report, 2024, table 1; parameters from the model card", 152_064, 3584, 28, 28, 18_944,
    131_072, kv_heads=4, qkv_bias=True, published="7.61B",
)  # fmt: skip
QWEN_3_0_6B = Architecture(
    "qwen-3-0.6b", "Qwen3 report, 2025, table 1; parameters from the model card", 151_936, 1024, 28, 16, 3072, 32_768,
    kv_heads=8, head=128, qk_norm=True, tied=True, published="0.6B",
)  # fmt: skip
QWEN_3_8B = replace(
    QWEN_3_0_6B, name="qwen-3-8b", width=4096, layers=36, heads=32, hidden=12_288, context=131_072, tied=False,
    published="8.2B",
)  # fmt: skip
QWEN_3_30B_A3B = replace(
    QWEN_3_0_6B, name="qwen-3-30b-a3b", source="Qwen3 report, 2025, table 2; parameters from the model card",
    width=2048, layers=48, heads=32, kv_heads=4, hidden=768, context=131_072, tied=False, experts=128, active=8,
    published="30.5B", published_active="3.3B",
)  # fmt: skip
QWEN_3_235B_A22B = replace(
    QWEN_3_30B_A3B, name="qwen-3-235b-a22b", width=4096, layers=94, heads=64, hidden=1536, published="235B",
    published_active="22B",
)  # fmt: skip

GEMMA_2B = Architecture(
    "gemma-2b", "Gemma, 2024, tables 1 and 2 (embedding and the rest added)", 256_128, 2048, 18, 8, 16_384, 8192,
    kv_heads=1, head=256, tied=True, published="2,506,434,560",
)  # fmt: skip
GEMMA_2_9B = Architecture(
    "gemma-2-9b", "Gemma 2, 2024, tables 1 and 2 (embedding and the rest added)", 256_128, 3584, 42, 16, 14_336, 8192,
    kv_heads=8, head=256, tied=True, norms=4, window=4096, period=2, published="9,242,164,736",
)  # fmt: skip
GEMMA_2_27B = replace(
    GEMMA_2_9B, name="gemma-2-27b", width=4608, layers=46, heads=32, kv_heads=16, head=128, hidden=36_864,
    published="27,227,718,144",
)  # fmt: skip
GEMMA_3_1B = Architecture(
    "gemma-3-1b", "Gemma 3, 2025, table 1 (302M and 698M)", 262_144, 1152, 26, 4, 6912, 32_768, kv_heads=1, head=256,
    tied=True, qk_norm=True, norms=4, window=512, period=6, published="1000M",
)  # fmt: skip

DEEPSEEK_V2 = Architecture(
    "deepseek-v2", "DeepSeek-V2, 2024, section 3.1.2", 102_400, 5120, 60, 128, 1536, 131_072,
    latent=Latent(query=1536, key_value=512, plain=128, rotary=64, value=128), experts=160, active=6, shared=2, dense=1,
    dense_hidden=12_288, published="236B", published_active="21B",
)  # fmt: skip
DEEPSEEK_V3 = replace(
    DEEPSEEK_V2, name="deepseek-v3", source="DeepSeek-V3, 2024, section 4.2, without multi-token prediction; also R1",
    vocab=129_280, width=7168, layers=61, hidden=2048, experts=256, active=8, shared=1, dense=3, dense_hidden=18_432,
    published="671B", published_active="37B",
)  # fmt: skip

SMOLLM2_135M = Architecture(
    "smollm2-135m", "Allal et al., SmolLM2, 2025, appendix A", 49_152, 576, 30, 9, 1536, 8192, kv_heads=3, tied=True,
    published="135M",
)  # fmt: skip

ARCHITECTURES = {
    one.name: one
    for one in (
        GPT_2, GPT_2_XL, GPT_3, LLAMA_2_7B, LLAMA_2_13B, LLAMA_2_70B, LLAMA_3_2_1B, LLAMA_3_8B, LLAMA_3_70B,
        LLAMA_3_405B, MISTRAL_7B, MIXTRAL_8X7B, MIXTRAL_8X22B, QWEN_2_5_7B, QWEN_3_0_6B, QWEN_3_8B, QWEN_3_30B_A3B,
        QWEN_3_235B_A22B, GEMMA_2B, GEMMA_2_9B, GEMMA_2_27B, GEMMA_3_1B, DEEPSEEK_V2, DEEPSEEK_V3, SMOLLM2_135M,
    )
}  # fmt: skip
