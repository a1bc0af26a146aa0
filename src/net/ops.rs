//! The building blocks of the net composed of candle's own operations, for every device.
//!
//! CUDA runs on these; on the CPU they are the reference that the fused operations of [`super::fused`] are tested
//! with. Two of candle's own are not used: `max_pool2d` has a wrong gradient and `upsample_bilinear2d` has none
//! (candle 0.11, checked against finite differences).

use candle_core::{DType, Result, Tensor};

use super::conv::Kind;
use super::norm::BatchStatistics;

/// A convolution with bias.
pub fn convolution(kind: Kind, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let y = match kind {
        Kind::Same3 => x.conv2d(weight, 1, 1, 1, 1)?,
        Kind::Point => x.conv2d(weight, 0, 1, 1, 1)?,
        Kind::Down2 => x.conv2d(weight, 0, 2, 1, 1)?,
        Kind::Up2 => x.conv_transpose2d(weight, 0, 0, 2, 1)?,
    };
    y.broadcast_add(&bias.reshape((1, (), 1, 1))?)
}

/// Normalises x (B, C, H, W) by the moments of the batch; gamma, beta (C). Returns what it saw beside it.
///
/// Half precision is widened for the moments, whose sums it could not hold, and the result is as x again.
pub fn batch_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
) -> Result<(Tensor, BatchStatistics)> {
    let given = x.dtype();
    let wide = if matches!(given, DType::F16 | DType::BF16) {
        DType::F32
    } else {
        given
    };
    let (x, gamma, beta) = (
        &x.to_dtype(wide)?,
        gamma.to_dtype(wide)?,
        beta.to_dtype(wide)?,
    );
    let (batch, channels, height, width) = x.dims4()?;
    let count = batch * height * width;
    let flat = x.transpose(0, 1)?.reshape((channels, count))?;
    let mean = flat.mean_keepdim(1)?;
    let centred = flat.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    let y = centred
        .broadcast_div(&(&variance + epsilon)?.sqrt()?)?
        .broadcast_mul(&gamma.reshape((channels, 1))?)?
        .broadcast_add(&beta.reshape((channels, 1))?)?;
    let y = y
        .reshape((channels, batch, height, width))?
        .transpose(0, 1)?
        .contiguous()?
        .to_dtype(given)?;
    let numbers = |t: &Tensor| t.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1();
    let seen = BatchStatistics {
        mean: numbers(&mean)?,
        variance: numbers(&variance)?,
        count: count as f64,
    };
    Ok((y, seen))
}

/// 2x2 maximum, stride 2; height and width must be even.
pub fn max_pool(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let x = x.reshape((b, c, h / 2, 2, w / 2, 2))?;
    let x = x.narrow(3, 0, 1)?.maximum(&x.narrow(3, 1, 1)?)?;
    let x = x.narrow(5, 0, 1)?.maximum(&x.narrow(5, 1, 1)?)?;
    x.reshape((b, c, h / 2, w / 2))
}

/// Bilinear doubling: `align_corners = false`, as PyTorch's `interpolate(scale_factor=2, mode="bilinear")`.
pub fn double(x: &Tensor) -> Result<Tensor> {
    let along = |x: &Tensor, dim: usize| -> Result<Tensor> {
        let len = x.dim(dim)?;
        let before = Tensor::cat(&[x.narrow(dim, 0, 1)?, x.narrow(dim, 0, len - 1)?], dim)?;
        let after = Tensor::cat(
            &[x.narrow(dim, 1, len - 1)?, x.narrow(dim, len - 1, 1)?],
            dim,
        )?;
        let near = (x * 0.75)?;
        let even = (&near + (before * 0.25)?)?;
        let odd = (&near + (after * 0.25)?)?;
        Tensor::stack(&[even, odd], dim + 1)?.flatten(dim, dim + 1)
    };
    along(&along(x, 2)?, 3)
}
