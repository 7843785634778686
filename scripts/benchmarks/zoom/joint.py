"""Joint sampling: agreement between scales, detail kept, true distribution, cost of the codec."""

from __future__ import annotations

from scipy import stats

from dreamzoom.engines.spectral import SpectralEngine
from dreamzoom.report import Report
from dreamzoom.zoom.blend import Blend
from dreamzoom.zoom.levels import sample_levels
from dreamzoom.zoom.sampler import Coupling, JointSampler, Plan

from . import models
from .agreement import agreement

PROMPTS = ["space", "a blue planet", "a continent", "forest", "a leaf"]


def measure_consistency():
    """Five prompts of different colours at 128², 8 bit: joint, naive and independent."""
    denoiser, rows = SpectralEngine().denoiser(Report()), []
    for name, blend in (("joint", Blend.LAPLACIAN), ("naive averaging", Blend.NAIVE), ("independent", Blend.NONE)):
        pictures = sample_levels(denoiser, PROMPTS, range(5), 2, [], (128, 128), steps=30, blend=blend)
        rows.append({"consistency": name, "dB per level": agreement(pictures)})
    for factor in (2.5, 3.0):
        pictures = sample_levels(denoiser, PROMPTS[:3], range(3), factor, [], (96, 128), steps=30)
        rows.append({"consistency": f"joint, p {factor}", "dB per level": agreement(pictures, factor)})
    lowest = min(min(row["dB per level"]) for row in rows if row["consistency"].startswith("joint"))
    return {"consistency_db_min": lowest}, rows


def measure_octaves():
    """Power per octave of jointly sampled levels over that of independent samples; a world consistent across scales."""
    world, rows, joint = models.GaussianWorld(24), [], []
    same = {"coupling": Coupling.TIME}
    ways = [("joint", {}), ("joint, same noise in all levels", same), ("first order", {"order": 1}),
            ("naive averaging", {"blend": Blend.NAIVE} | same), ("independent", {"blend": Blend.NONE})]  # fmt: skip
    for name, kind in ways:
        samples = world.sample(40 if name == "joint" else 20, steps=50, **kind)
        for level, values in enumerate(samples):
            rows.append({"octaves, low to high": name, "level": level, "ratio": world.octaves(level, values)})
            joint += rows[-1]["ratio"] if name == "joint" else []
    return {"octave_power_min": min(joint), "octave_power_max": max(joint)}, rows


def measure_distribution():
    """200 joint runs of a world whose every level is a known Gaussian: power along its principal axes, marginals."""
    rows, figures = [], {}
    world = models.GaussianWorld()
    ways = [("joint", {}, 200),
            ("independent (control)", {"blend": Blend.NONE}, 60),
            ("joint, overlaps by frequency", {"voice": 0.0}, 60),
            ("same noise in all levels", {"coupling": Coupling.TIME, "voice": 0.0}, 60),
            ("naive averaging", {"blend": Blend.NAIVE, "coupling": Coupling.TIME}, 60)]  # fmt: skip
    for name, kind, runs in ways:
        world.nested = "frequency" not in name
        samples = world.sample(runs, **kind)
        chances, ratios = [], []
        for level, values in enumerate(samples):
            units = world.whiten(level, values)
            for band in world.bands(level):
                power, count = float((units[:, band] ** 2).sum()), units[:, band].size
                ratios.append(power / count)
                below = stats.chi2.cdf(power, count)
                chances.append(2 * min(below, 1 - below))
            pixels = values[:, :, 5, 9].ravel() / world.deviation(level)
            chances.append(float(stats.kstest(pixels, "norm").pvalue))
        holm = min(1.0, min(chances) * len(chances))
        rows.append({"distribution": name, "runs": runs, "smallest p, Holm": holm, "power ratios": ratios})
        if name == "joint":
            figures = {"distribution_p": holm}
    return figures, rows


def measure_latent():
    """Decoded latents against the codec's own error; and what agreeing in fewer decoded pictures changes."""
    rows, gaps = [], []
    for name, codec in (
        ("SD autoencoder, random weights", models.random_vae()),
        ("autoencoder fitted briefly", models.fitted_vae()),
    ):
        denoiser = models.LatentModel(codec)
        own = denoiser.reconstruction_db()
        plan = Plan([(("rock", 1.0),)] * 3, [1, 2, 3], 2.0, (64, 64), steps=24, fine=1.0, blend_every=1)
        sampler = models.KeepingSampler(denoiser, plan)
        delivered = [picture.permute(1, 2, 0).numpy() for _, picture in sampler.run()]
        decoded = [codec.decode(sampler.latents[k][None])[0].permute(1, 2, 0).numpy() for k in range(3)]
        between = min(agreement(decoded))
        rows.append({"latent": name, "codec dB": own, "decoded levels dB": between,
                     "delivered dB": min(agreement(delivered))})  # fmt: skip
        gaps.append(own - between)
    figures, more = _cheaper(denoiser)
    return {"latent_gap_db": max(gaps)} | figures, rows + more


def _cheaper(denoiser, runs: int = 8):
    """Ways to save runs of the codec, beside the full blend: pictures a level, agreement, octaves over the full one's.

    Eight levels of 30 steps tell what is counted; the octaves are those of three levels, over `runs` seeds.
    """
    rows, full, figures = [], None, {}
    ways = {"every step": {"fine": 1.0, "blend_every": 1}, "once an octave": {"fine": 1.0}, "as it is": {},
            "last half alone": {"fine": 0.5}, "linear to the end": {"fine": 0.05},
            "independent": {"blend": Blend.NONE}}  # fmt: skip
    for name, way in ways.items():
        pictures, dbs = [], []
        for run in range(runs):
            plan = Plan([(("rock", 1.0),)] * 3, [100 * run + k for k in range(3)], 2.0, (64, 64), steps=30, **way)
            levels = [picture for _, picture in JointSampler(denoiser, plan).run()]
            pictures += levels
            dbs += agreement([picture.permute(1, 2, 0).numpy() for picture in levels])
        counted = JointSampler(denoiser, Plan([(("rock", 1.0),)] * 8, range(8), 2.0, (64, 64), steps=30, **way))
        list(counted.run())
        power = models.octaves(pictures)
        full = power if full is None else full
        ratios = [float(ratio) for ratio in power / full]
        rows.append({"latent, agreeing": name, "decodes a level": counted.cost.decodes / 8,
                     "encodes a level": counted.cost.encodes / 8, "delivered dB": min(dbs),
                     "octaves over full": ratios})  # fmt: skip
        if name == "as it is":
            figures = {"latent_decodes": counted.cost.decodes / 8, "latent_encodes": counted.cost.encodes / 8,
                       "latent_delivered_db": min(dbs), "latent_octave_min": min(ratios),
                       "latent_octave_max": max(ratios)}  # fmt: skip
    return figures, rows
