"""Terms that lay Gaussians flat on a surface while they are trained.

Guédon and Lepetit, "SuGaR: Surface-Aligned Gaussian Splatting", CVPR 2024. After ordinary training,
opacities are driven to 0 or 1 and the faint Gaussians go; from then on, samples near the Gaussians
compare the density that all neighbors make together with the one that flat, opaque Gaussians would
make.

Notation: n Gaussians, m samples, k neighbors of each Gaussian, itself the first of them; mu, a and
s mean, opacity and standard deviations; g the Gaussian that a sample p was drawn from, n_g its axis
of the smallest deviation.

    d(p) = sum over the k neighbors of g of a_i exp(-1/2 (p - mu_i)^T Sigma_i^-1 (p - mu_i))
    f(p) = beta sqrt(-2 ln d(p))       beta the mean of the neighbors' smallest deviations
"""
