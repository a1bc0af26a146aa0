//! The attention gate as one operation: training with its gradient, and folded.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::super::conv::source::{Affine, Source, sum_of3};
use super::super::conv::{Extent, Finish, Kind, Packed, forward, weight_gradient};
use super::super::lanes::Real;
use super::super::norm::{BatchStatistics, channel_sums, plain_sums};
use super::double::FoldedConvolution;
use super::{
    Pieces, Seen, cells, each_plane, extent_of, note, tensor, with_bias, with_cells, zeros,
};

struct GateSaved<T> {
    skip: Vec<T>,
    coarse: Vec<T>,
    score: Vec<T>,
    sigmoid: Vec<T>,
    statistics: [BatchStatistics; 3],
    affine: [Affine<T>; 3],
}

/// Attention gate in training mode: the skip map times the upsampled sigmoid of
/// `n3(c3(relu(n1(down(skip)) + n2(point(coarse)))))`.
///
/// Parameters: for the 2x2 convolution of the skip, the 1x1 of the coarser map and the 1x1 to one
/// channel each weight, bias, gamma, beta.
struct Gate<T> {
    seen: Seen,
    saved: OnceLock<GateSaved<T>>,
}

struct GateParameters<'a, T> {
    skip: [&'a [T]; 4],
    coarse: [&'a [T]; 4],
    score: [&'a [T]; 4],
}

impl<'a, T> GateParameters<'a, T> {
    fn new(flat: &'a [T], skip: usize, coarse: usize) -> Result<Self> {
        let mut pieces = Pieces(flat);
        let mut four = |weights: usize, out: usize| -> Result<[&'a [T]; 4]> {
            Ok([
                pieces.take(weights)?,
                pieces.take(out)?,
                pieces.take(out)?,
                pieces.take(out)?,
            ])
        };
        Ok(Self {
            skip: four(skip * skip * 4, skip)?,
            coarse: four(skip * coarse, skip)?,
            score: four(skip, 1)?,
        })
    }
}

impl<T: Real> Gate<T> {
    fn run(
        &self,
        skip: (&[T], usize),
        coarse: (&[T], usize),
        fine: Extent,
        half: Extent,
        flat: &[T],
    ) -> Result<Vec<T>> {
        let p = GateParameters::new(flat, skip.1, coarse.1)?;
        let inner = skip.1;
        let fresh = |channels: usize| zeros(half.batch * channels * half.plane());
        let none = (&[][..], 0);
        let convolve =
            |source: &Source<'_, T>, extent, kind, weight, inputs, outputs, out: &mut Vec<T>| {
                let moments = forward(
                    source,
                    extent,
                    &Packed::new(kind, weight, inputs, outputs),
                    Finish::PLAIN,
                    vec![(out, outputs)],
                    true,
                );
                BatchStatistics::from_moments(&moments, half)
            };
        let (mut a, mut b, mut score) = (fresh(inner), fresh(inner), fresh(1));
        let s1 = convolve(
            &Source::Plain([skip, none]),
            fine,
            Kind::Down2,
            p.skip[0],
            inner,
            inner,
            &mut a,
        );
        let n1 = s1.affine(p.skip[2], p.skip[3]);
        let s2 = convolve(
            &Source::Plain([coarse, none]),
            half,
            Kind::Point,
            p.coarse[0],
            coarse.1,
            inner,
            &mut b,
        );
        let n2 = s2.affine(p.coarse[2], p.coarse[3]);
        let hidden = Source::SumNormRelu([&a, &b], [&n1, &n2]);
        let s3 = convolve(&hidden, half, Kind::Point, p.score[0], inner, 1, &mut score);
        let n3 = s3.affine(p.score[2], p.score[3]);
        let sigmoid: Vec<T> = score
            .iter()
            .map(|&x| sigmoid(n3.scale[0] * x + n3.shift[0]))
            .collect();
        let out = multiply_by_upsampled(skip.0, inner, &sigmoid, fine);
        note(
            &self.seen,
            vec![
                with_bias(s1.clone(), p.skip[1]),
                with_bias(s2.clone(), p.coarse[1]),
                with_bias(s3.clone(), p.score[1]),
            ],
        );
        let saved = GateSaved {
            skip: a,
            coarse: b,
            score,
            sigmoid,
            statistics: [s1, s2, s3],
            affine: [n1, n2, n3],
        };
        if self.saved.set(saved).is_err() {
            bail!("an attention gate ran twice in one graph");
        }
        Ok(out)
    }

    fn back(
        &self,
        skip: (&[T], usize),
        coarse: (&[T], usize),
        fine: Extent,
        half: Extent,
        flat: &[T],
        g: &[T],
    ) -> Result<[Vec<T>; 3]> {
        let Some(saved) = self.saved.get() else {
            bail!("an attention gate has no forward pass to go back through");
        };
        let p = GateParameters::new(flat, skip.1, coarse.1)?;
        let inner = skip.1;
        let none = (&[][..], 0);
        let [s1, s2, s3] = &saved.statistics;
        let [n1, n2, n3] = &saved.affine;

        // Through the product: the skip's share, and the gradient of the upsampled gate.
        let mut g_skip = multiply_by_upsampled(g, inner, &saved.sigmoid, fine);
        let plane = fine.plane();
        let mut g_up = zeros(fine.batch * plane);
        g_up.par_chunks_mut(fine.width.max(1))
            .enumerate()
            .for_each(|(row, out)| {
                let (n, y) = (row / fine.height, row % fine.height);
                for c in 0..inner {
                    let start = (n * inner + c) * plane + y * fine.width;
                    let (g, x) = (
                        &g[start..start + fine.width],
                        &skip.0[start..start + fine.width],
                    );
                    for ((out, &g), &x) in out.iter_mut().zip(g).zip(x) {
                        *out += g * x;
                    }
                }
            });
        let mut g_score = upsample_gradient(&g_up, half);
        for (g, &s) in g_score.iter_mut().zip(&saved.sigmoid) {
            *g = *g * s * (T::real(1.0) - s);
        }
        let (gn3, g_gamma3, g_beta3) =
            s3.backward(n3, &plain_sums(&saved.score, &g_score, 1, half));
        let score = Source::NormGrad {
            x: &saved.score,
            g: &g_score,
            affine: n3,
            gradient: &gn3,
            relu: false,
        };
        let hidden = Source::SumNormRelu([&saved.skip, &saved.coarse], [n1, n2]);
        let gw3 = weight_gradient(Kind::Point, &hidden, half, &score);

        // Through the sum and its ReLU: both norms see the same gradient.
        let mut g_sum = zeros(saved.skip.len());
        forward(
            &score,
            half,
            &Packed::transposed(Kind::Point, p.score[0], inner, 1, 0, inner),
            Finish::PLAIN,
            vec![(&mut g_sum, inner)],
            false,
        );
        let plane = half.plane();
        each_plane(&mut g_sum, plane, inner, |i, c, g| {
            let (a, b) = (
                &saved.skip[i * plane..][..plane],
                &saved.coarse[i * plane..][..plane],
            );
            let (sa, sb, shift) = (n1.scale[c], n2.scale[c], n1.shift[c] + n2.shift[c]);
            for ((g, &a), &b) in g.iter_mut().zip(a).zip(b) {
                *g = if sa * a + sb * b + shift > T::default() {
                    *g
                } else {
                    T::default()
                };
            }
        });
        let sums = channel_sums(half.batch, inner, |i, _| {
            let range = i * plane..(i + 1) * plane;
            sum_of3(
                &g_sum[range.clone()],
                &saved.skip[range.clone()],
                &saved.coarse[range],
                |g, a, b| [g, g * a, g * b],
            )
        });
        let of = |k: usize| -> Vec<[f64; 2]> { sums.iter().map(|s| [s[0], s[k]]).collect() };
        let (gn1, g_gamma1, g_beta1) = s1.backward(n1, &of(1));
        let (gn2, g_gamma2, g_beta2) = s2.backward(n2, &of(2));
        let a = Source::NormGrad {
            x: &saved.skip,
            g: &g_sum,
            affine: n1,
            gradient: &gn1,
            relu: false,
        };
        let b = Source::NormGrad {
            x: &saved.coarse,
            g: &g_sum,
            affine: n2,
            gradient: &gn2,
            relu: false,
        };
        let gw1 = weight_gradient(Kind::Down2, &Source::Plain([skip, none]), fine, &a);
        let gw2 = weight_gradient(Kind::Point, &Source::Plain([coarse, none]), half, &b);
        forward(
            &a,
            half,
            &Packed::transposed(Kind::Down2, p.skip[0], inner, inner, 0, inner),
            Finish {
                accumulate: true,
                ..Finish::PLAIN
            },
            vec![(&mut g_skip, inner)],
            false,
        );
        let mut g_coarse = zeros(coarse.0.len());
        forward(
            &b,
            half,
            &Packed::transposed(Kind::Point, p.coarse[0], coarse.1, inner, 0, coarse.1),
            Finish::PLAIN,
            vec![(&mut g_coarse, coarse.1)],
            false,
        );
        let zeros = |len: usize| vec![T::default(); len];
        let parameters = [
            gw1,
            zeros(inner),
            g_gamma1,
            g_beta1,
            gw2,
            zeros(inner),
            g_gamma2,
            g_beta2,
            gw3,
            zeros(1),
            g_gamma3,
            g_beta3,
        ]
        .concat();
        Ok([g_skip, g_coarse, parameters])
    }
}

pub fn sigmoid<T: Real>(x: T) -> T {
    let one = T::real(1.0);
    one / (one + (T::default() - x).exponential())
}

/// Rows and weights that bilinear x2 upsampling mixes for an output coordinate:
/// `align_corners = false`, as PyTorch's `interpolate(scale_factor=2, mode="bilinear")`.
const fn neighbours(i: usize, len: usize) -> (usize, usize) {
    let near = i / 2;
    let far = if i.is_multiple_of(2) {
        near.saturating_sub(1)
    } else if near + 1 < len {
        near + 1
    } else {
        near
    };
    (near, far)
}

/// One row of the upsampled map.
fn upsampled_row<T: Real>(map: &[T], extent: Extent, y: usize, mixed: &mut Vec<T>, out: &mut [T]) {
    let (height, width) = (extent.height / 2, extent.width / 2);
    let (near, far) = neighbours(y, height);
    let (most, least) = (T::real(0.75), T::real(0.25));
    mixed.clear();
    let (a, b) = (&map[near * width..][..width], &map[far * width..][..width]);
    mixed.extend(a.iter().zip(b).map(|(&a, &b)| most * a + least * b));
    // The ends, which have a neighbour less, one by one; between them a loop without branches.
    for x in [0, width * 2 - 1] {
        let (near, far) = neighbours(x, width);
        out[x] = most * mixed[near] + least * mixed[far];
    }
    let pairs = mixed.windows(2);
    for (out, pair) in out[1..].chunks_exact_mut(2).zip(pairs) {
        out[0] = most * pair[0] + least * pair[1];
        out[1] = most * pair[1] + least * pair[0];
    }
}

/// Every channel of `x` times the upsampled one-channel `map`, which has half the extent.
pub fn multiply_by_upsampled<T: Real>(x: &[T], channels: usize, map: &[T], fine: Extent) -> Vec<T> {
    let mut up = zeros(fine.batch * fine.plane());
    let quarter = fine.plane() / 4;
    up.par_chunks_mut(fine.width.max(1))
        .enumerate()
        .for_each_init(Vec::new, |mixed, (row, out)| {
            let (n, y) = (row / fine.height, row % fine.height);
            upsampled_row(&map[n * quarter..(n + 1) * quarter], fine, y, mixed, out);
        });
    let mut out = zeros(x.len());
    let plane = fine.plane();
    each_plane(&mut out, plane, channels, |i, _, out| {
        let (x, up) = (
            &x[i * plane..][..plane],
            &up[i / channels * plane..][..plane],
        );
        for ((out, &x), &u) in out.iter_mut().zip(x).zip(up) {
            *out = x * u;
        }
    });
    out
}

/// The gradient of the map that was upsampled.
fn upsample_gradient<T: Real>(g: &[T], half: Extent) -> Vec<T> {
    let (width, height) = (half.width, half.height);
    let mut out = vec![T::default(); half.batch * half.plane()];
    let (most, least) = (T::real(0.75), T::real(0.25));
    out.par_chunks_mut(half.plane().max(1))
        .enumerate()
        .for_each(|(n, out)| {
            let g = &g[n * half.plane() * 4..(n + 1) * half.plane() * 4];
            let mut line = vec![T::default(); width];
            for (y, row) in g.chunks_exact(width * 2).enumerate() {
                line.fill(T::default());
                for (x, &g) in row.iter().enumerate() {
                    let (near, far) = neighbours(x, width);
                    line[near] += most * g;
                    line[far] += least * g;
                }
                let (near, far) = neighbours(y, height);
                for (x, &g) in line.iter().enumerate() {
                    out[near * width + x] += most * g;
                    out[far * width + x] += least * g;
                }
            }
        });
    out
}

impl<T: Real> CustomOp3 for Gate<T> {
    fn name(&self) -> &'static str {
        "attention-gate"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, fine) = extent_of(l1.shape())?;
        let (b, half) = extent_of(l2.shape())?;
        if (half.height * 2, half.width * 2) != (fine.height, fine.width) {
            bail!("an attention gate needs a coarser map of half the size");
        }
        let (skip, coarse) = ((cells(s1, l1)?, a), (cells(s2, l2)?, b));
        let out = self.run(skip, coarse, fine, half, cells(s3, l3)?)?;
        Ok((T::to_cpu_storage_owned(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        p: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (a, fine) = extent_of(x.shape())?;
        let (b, half) = extent_of(y.shape())?;
        with_cells::<T, _>(x, |xs| {
            with_cells::<T, _>(y, |ys| {
                with_cells::<T, _>(p, |ps| {
                    with_cells::<T, _>(g, |g| {
                        let [gx, gy, gp] = self.back((xs, a), (ys, b), fine, half, ps, g)?;
                        Ok((
                            Some(tensor(gx, x)?),
                            Some(tensor(gy, y)?),
                            Some(tensor(gp, p)?),
                        ))
                    })
                })
            })
        })
    }
}

/// The gated skip map, training mode, on the CPU.
pub fn attention_gate(
    skip: &Tensor,
    coarse: &Tensor,
    parameters: &Tensor,
    seen: &Seen,
) -> Result<Tensor> {
    let (skip, coarse) = (skip.contiguous()?, coarse.contiguous()?);
    match skip.dtype() {
        DType::F64 => skip.apply_op3(
            &coarse,
            parameters,
            Gate::<f64> {
                seen: seen.clone(),
                saved: OnceLock::new(),
            },
        ),
        _ => skip.apply_op3(
            &coarse,
            parameters,
            Gate::<f32> {
                seen: seen.clone(),
                saved: OnceLock::new(),
            },
        ),
    }
}

/// The gate with folded norms; `convolutions` as in [`attention_gate`], weight and bias each.
pub fn folded_attention_gate(
    skip: &Tensor,
    coarse: &Tensor,
    convolutions: [FoldedConvolution<'_>; 3],
) -> Result<Tensor> {
    match skip.dtype() {
        DType::F64 => folded::<f64>(skip, coarse, convolutions),
        _ => folded::<f32>(skip, coarse, convolutions),
    }
}

fn folded<T: Real>(
    skip: &Tensor,
    coarse: &Tensor,
    [map, signal, score]: [FoldedConvolution<'_>; 3],
) -> Result<Tensor> {
    let (inner, fine) = extent_of(skip.shape())?;
    let (channels, half) = extent_of(coarse.shape())?;
    if (half.height * 2, half.width * 2) != (fine.height, fine.width) {
        bail!("an attention gate needs a coarser map of half the size");
    }
    let convolve = |source: &Source<'_, T>,
                    extent,
                    packing: (Kind, usize, usize),
                    (w, b): FoldedConvolution<'_>,
                    accumulate,
                    out: &mut Vec<T>| {
        let (kind, inputs, outputs) = packing;
        with_cells::<T, _>(w, |w| {
            with_cells::<T, _>(b, |b| {
                forward(
                    source,
                    extent,
                    &Packed::new(kind, w, inputs, outputs),
                    Finish {
                        bias: Some(b),
                        relu: false,
                        accumulate,
                    },
                    vec![(out, outputs)],
                    false,
                );
                Ok(())
            })
        })
    };
    let fresh = |channels: usize| zeros(half.batch * channels * half.plane());
    let mut hidden = fresh(inner);
    let mut gate = fresh(1);
    let out = with_cells::<T, _>(skip, |skip| {
        let source = Source::Plain([(skip, inner), (&[], 0)]);
        convolve(
            &source,
            fine,
            (Kind::Down2, inner, inner),
            map,
            false,
            &mut hidden,
        )?;
        with_cells::<T, _>(coarse, |coarse| {
            let source = Source::Plain([(coarse, channels), (&[], 0)]);
            convolve(
                &source,
                half,
                (Kind::Point, channels, inner),
                signal,
                true,
                &mut hidden,
            )
        })?;
        let same = Affine {
            scale: vec![T::real(1.0); inner],
            shift: vec![T::default(); inner],
        };
        let source = Source::NormRelu(&hidden, &same);
        convolve(
            &source,
            half,
            (Kind::Point, inner, 1),
            score,
            false,
            &mut gate,
        )?;
        for value in &mut gate {
            *value = sigmoid(*value);
        }
        Ok(multiply_by_upsampled(skip, inner, &gate, fine))
    })?;
    tensor(out, skip)
}
