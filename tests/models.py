"""Tiny models with random weights in the real format on disk: one function a family. What is made here is no mock: the
libraries load it as they load the ones of many gigabytes.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import depth_models
import diffusers
import torch
import transformers
from tokenizers import pre_tokenizers

WIDTH = 16
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def stable_diffusion(folder: Path, *, inpainting: bool = False, prediction: str = "epsilon", native: int = 64) -> Path:
    """SD 1.5 in small, with the four channels of a picture model or the nine of an inpainting model."""
    torch.manual_seed(0)
    unet = _unet(9 if inpainting else 4, native)
    kind = diffusers.StableDiffusionInpaintPipeline if inpainting else diffusers.StableDiffusionPipeline
    pipe = kind(
        vae=_vae(4),
        text_encoder=_clip(),
        tokenizer=_clip_words(),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1,
            prediction_type=prediction,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipe.save_pretrained(folder)
    return folder


def stable_diffusion_xl(folder: Path, native: int = 64) -> Path:
    """SDXL in small."""
    torch.manual_seed(0)
    unet = _unet(
        4, native, cross_attention_dim=2 * WIDTH, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )  # fmt: skip
    pipe = diffusers.StableDiffusionXLPipeline(
        vae=_vae(4),
        text_encoder=_clip(),
        text_encoder_2=_clip(projected=True),
        tokenizer=_clip_words(),
        tokenizer_2=_clip_words(),
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
    )
    pipe.save_pretrained(folder)
    return folder


def stable_diffusion_3(folder: Path) -> Path:
    """SD 3 in small: a diffusion transformer of flow matching."""
    torch.manual_seed(0)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=16, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=2 * WIDTH, caption_projection_dim=16, pooled_projection_dim=2 * WIDTH, out_channels=16,
        pos_embed_max_size=96,
    )  # fmt: skip
    pipe = diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(16, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=_clip(projected=True),
        tokenizer=_clip_words(),
        text_encoder_2=_clip(projected=True),
        tokenizer_2=_clip_words(),
        text_encoder_3=_t5(2 * WIDTH),
        tokenizer_3=_t5_words(),
    )
    pipe.save_pretrained(folder)
    return folder


def flux(folder: Path, *, fill: bool = False, kontext: bool = False) -> Path:
    """Flux 1 in small: plain, Fill, or Kontext, which edits."""
    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=384 if fill else 64, out_channels=64, num_layers=1, num_single_layers=1,
        attention_head_dim=16, num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=WIDTH,
        axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    kind = diffusers.FluxFillPipeline if fill else diffusers.FluxPipeline
    pipe = (diffusers.FluxKontextPipeline if kontext else kind)(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(16, shift_factor=0.1, scaling_factor=0.36, quantised=False),
        text_encoder=_clip(),
        tokenizer=_clip_words(),
        text_encoder_2=_t5(32),
        tokenizer_2=_t5_words(),
        transformer=transformer,
    )
    pipe.save_pretrained(folder)
    return folder


def flux2_klein(folder: Path) -> Path:
    """Flux 2 klein in small: its words are three layers of a language model."""
    torch.manual_seed(0)
    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1, in_channels=32, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=3 * WIDTH, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLFlux2(
        block_out_channels=(4, 4, 8, 8), layers_per_block=1, latent_channels=8, norm_num_groups=4, sample_size=64
    )
    pipe = diffusers.Flux2KleinPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae.eval(),
        text_encoder=_qwen3(28),
        tokenizer=_qwen_words(),
        transformer=transformer,
        is_distilled=True,
    )
    pipe.save_pretrained(folder)
    return folder


def qwen_image(folder: Path, *, edit: str = "") -> Path:
    """Qwen-Image in small, or one of its models that edit: "Edit" or "EditPlus"."""
    torch.manual_seed(0)
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2, in_channels=64, out_channels=16, num_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=WIDTH, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    vae = diffusers.AutoencoderKLQwenImage(base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    words = _qwen_words()
    rotary = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(words),
            "hidden_size": WIDTH,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": rotary,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [0],
        },
        **{
            f"{name}_id": words.convert_tokens_to_ids(f"<|{token}|>")
            for name, token in (
                ("vision_start_token", "vision_start"),
                ("vision_end_token", "vision_end"),
                ("image_token", "image_pad"),
            )
        },
    )
    kind = getattr(diffusers, f"QwenImage{edit}Pipeline")
    pipe = kind(
        **({"processor": None} if edit else {}),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae.eval(),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(config).eval(),
        tokenizer=words,
        transformer=transformer,
    )
    pipe.save_pretrained(folder)
    if edit:
        _processor(folder)
    return folder


def z_image(folder: Path) -> Path:
    """Z-Image in small."""
    torch.manual_seed(0)
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=16, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=WIDTH,
        axes_dims=[4, 4, 8], axes_lens=[1024, 128, 128],
    )  # fmt: skip
    with torch.no_grad():  # made empty by the library, to be filled from a file
        for parameter in (transformer.x_pad_token, transformer.cap_pad_token):
            parameter.normal_(std=0.02)
    pipe = diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(16, shift_factor=0.1, scaling_factor=0.36, quantised=False),
        text_encoder=_qwen3(2, whole=False),
        tokenizer=_qwen_words(),
        transformer=transformer,
    )
    pipe.save_pretrained(folder)
    return folder


def depth_anything(folder: Path, *, metric: bool = False) -> Path:
    """Depth Anything V2 in small, relative or metric."""
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=16, neck_hidden_sizes=[4, 4, 8, 8],
        fusion_hidden_size=8, head_hidden_size=8, depth_estimation_type="metric" if metric else "relative",
        max_depth=20 if metric else 1,
    )  # fmt: skip
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    _eyes(folder, height=28, width=28, multiple=14, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    return folder


def prompt_depth_anything(folder: Path) -> Path:
    """Prompt Depth Anything in small, with the settings of the published ones: taps 3, 6, 9, 12 and a sigmoid."""
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.PromptDepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=16, neck_hidden_sizes=[4, 4, 8, 8],
        fusion_hidden_size=8, head_hidden_size=8, depth_estimation_type="metric", max_depth=1, initializer_range=0.2,
    )  # fmt: skip
    transformers.PromptDepthAnythingForDepthEstimation(config).save_pretrained(folder)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    _eyes(folder, height=56, width=56, multiple=14, mean=mean, std=std, prompt_scale_to_meter=0.001)
    return folder


def zoedepth(folder: Path) -> Path:
    """ZoeDepth in small."""
    torch.manual_seed(0)
    backbone = transformers.BeitConfig(
        image_size=32, patch_size=16, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
        use_relative_position_bias=True,
    )  # fmt: skip
    config = transformers.ZoeDepthConfig(
        backbone_config=backbone, backbone_hidden_size=16, neck_hidden_sizes=[4, 4, 8, 8], fusion_hidden_size=8,
        bottleneck_features=8, num_relative_features=4, bin_embedding_dim=8, bin_configurations=[
            {"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}
        ], num_attractors=[4, 2, 2, 1], patch_transformer_hidden_size=16, patch_transformer_intermediate_size=16,
    )  # fmt: skip
    transformers.ZoeDepthForDepthEstimation(config).save_pretrained(folder)
    _eyes(folder, height=32, width=32, multiple=32, mean=[0.5] * 3, std=[0.5] * 3, do_pad=True)
    return folder


def depth_pro(folder: Path) -> Path:
    """Depth Pro in small."""
    torch.manual_seed(0)
    eye = {
        "model_type": "dinov2",
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_ratio": 2,
        "image_size": 16,
        "patch_size": 8,
        "use_mask_token": False,
    }
    config = transformers.DepthProConfig(
        image_model_config=eye, patch_model_config=eye, fov_model_config=eye, patch_size=16, fusion_hidden_size=8,
        intermediate_hook_ids=[1, 0], intermediate_feature_dims=[8, 8], scaled_images_ratios=[0.25, 0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.5, 0.25], scaled_images_feature_dims=[16, 16, 16], num_fov_head_layers=1,
    )  # fmt: skip
    transformers.DepthProForDepthEstimation(config).save_pretrained(folder)
    _eyes(folder, height=64, width=64, multiple=1, mean=[0.5] * 3, std=[0.5] * 3, keep_aspect_ratio=False)
    return folder


def marigold(folder: Path) -> Path:
    """Marigold in small: a picture model that paints depth."""
    torch.manual_seed(0)
    pipe = diffusers.MarigoldDepthPipeline(
        unet=_unet(8, 64),
        vae=_vae(4),
        scheduler=diffusers.DDIMScheduler(
            prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True, clip_sample=False
        ),
        text_encoder=_clip(),
        tokenizer=_clip_words(),
        prediction_type="depth",
        default_denoising_steps=2,
        default_processing_resolution=64,
    )
    pipe.save_pretrained(folder)
    return folder


PAINTERS = {
    "sd": stable_diffusion,
    "sd-inpaint": lambda folder: stable_diffusion(folder, inpainting=True),
    "sd-v": lambda folder: stable_diffusion(folder, prediction="v_prediction"),
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "flux": flux,
    "flux-fill": lambda folder: flux(folder, fill=True),
    "flux2-klein": flux2_klein,
    "qwen-image": qwen_image,
    "z-image": z_image,
}

EDITORS = {
    "flux-kontext": lambda folder: flux(folder, kontext=True),
    "qwen-image-edit": lambda folder: qwen_image(folder, edit="Edit"),
    "qwen-image-edit-plus": lambda folder: qwen_image(folder, edit="EditPlus"),
}

DEPTHS = {
    "depth-anything": depth_anything,
    "depth-anything-metric": lambda folder: depth_anything(folder, metric=True),
    "zoedepth": zoedepth,
    "depth-pro": depth_pro,
    "marigold": marigold,
    "moge": depth_models.moge,
    "da3-small": depth_models.depth_anything_3,
    "prompt-depth-anything": prompt_depth_anything,
}


def _unet(channels: int, native: int, **options) -> diffusers.UNet2DConditionModel:
    return diffusers.UNet2DConditionModel(
        **{"sample_size": native // 8, "in_channels": channels, "out_channels": 4, "layers_per_block": 1,
           "block_out_channels": (8, 16), "norm_num_groups": 4, "cross_attention_dim": WIDTH, "attention_head_dim": 2,
           "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
           "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")} | options,
    )  # fmt: skip


def _vae(channels: int, *, quantised: bool = True, **options) -> diffusers.AutoencoderKL:
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=channels, norm_num_groups=4, sample_size=64,
        use_quant_conv=quantised, use_post_quant_conv=quantised, mid_block_add_attention=False, **options,
    )  # fmt: skip
    return vae.eval()


def _clip(projected: bool = False):
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    words = 2 * len(BYTES) + 2
    config = transformers.CLIPTextConfig(
        vocab_size=words, hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, projection_dim=WIDTH, bos_token_id=words - 2, eos_token_id=words - 1,
        pad_token_id=words - 1,
    )  # fmt: skip
    return kind(config).eval()


def _clip_words() -> transformers.CLIPTokenizer:
    names = [*BYTES, *(byte + "</w>" for byte in BYTES), "<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer(
        vocab={name: index for index, name in enumerate(names)}, merges=[], model_max_length=77
    )


def _t5(width: int):
    config = transformers.T5Config(
        vocab_size=256, d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    return transformers.T5EncoderModel(config).eval()


def _t5_words() -> transformers.T5Tokenizer:
    letters = [(chr(code), -3.0) for code in range(33, 127)]
    scores = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *letters]
    return transformers.T5Tokenizer(vocab=scores, extra_ids=0, model_max_length=512)


def _qwen3(layers: int, whole: bool = True):
    config = transformers.Qwen3Config(
        vocab_size=len(_qwen_words()), hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=2, head_dim=8,
    )  # fmt: skip
    return (transformers.Qwen3ForCausalLM if whole else transformers.Qwen3Model)(config).eval()


def _qwen_words() -> transformers.Qwen2Tokenizer:
    vision = ["<|vision_start|>", "<|image_pad|>", "<|vision_end|>"]
    names = [*BYTES, "<|endoftext|>", "<|im_start|>", "<|im_end|>", *vision]
    words = transformers.Qwen2Tokenizer(
        vocab={name: index for index, name in enumerate(names)}, merges=[], model_max_length=2048
    )
    words.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", *vision]})
    words.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return words


def _processor(folder: Path) -> None:
    """The entry and the folder of what reads texts with pictures, as such models have them."""
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["processor"] = ["transformers", "Qwen2VLProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    shutil.copytree(folder / "tokenizer", folder / "processor")
    settings = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor"}
    (folder / "processor" / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _eyes(folder: Path, *, height, width, multiple, mean, std, **options) -> None:
    """What a depth model wants to be shown."""
    settings = {
        "size": {"height": height, "width": width}, "image_mean": mean, "image_std": std, "do_rescale": True,
        "do_resize": True, "do_normalize": True, "rescale_factor": 1 / 255, "keep_aspect_ratio": True,
        "ensure_multiple_of": multiple, "resample": 3,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | options), encoding="utf-8")
