"""The image model of other viewers (SuperSplat, browsers, gsplat), and the refit of splats to it.

Viewers show the EWA projection of a Gaussian (Zwicker et al. 2001) as 3DGS does (Kerbl et al. 2023): a 2D Gaussian
around the projected centre, widened by 0.3 pixels² for the pixel, of alpha = opacity · exp(−q / 2) where that is at
least 1/255. Splats are ordered by the z-depth of their centres and blended in sRGB.
"""
