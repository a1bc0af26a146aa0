//! The residual double convolution as one operation: training with its gradient, and folded.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use super::super::conv::source::{Affine, Source};
use super::super::conv::{Extent, Finish, Kind, Packed, forward, weight_gradient};
use super::super::lanes::Real;
use super::super::norm::{BatchStatistics, masked_sums, plain_sums};
use super::rows;
use super::{
    Pieces, Seen, cells, each_plane, extent_of, note, tensor, with_bias, with_cells, zeros,
};

/// What the backward pass of a double convolution needs.
struct DoubleSaved<T> {
    first: Vec<T>,
    second: Vec<T>,
    short: Vec<T>,
    statistics: [BatchStatistics; 3],
    affine: [Affine<T>; 3],
}

/// Residual double convolution in training mode: `relu(n2(c2(relu(n1(c1(x)))))) + n3(c3(x))`.
///
/// Parameters: for the 3x3, the second 3x3 and the 1x1 convolution each weight, bias, gamma, beta.
/// A bias before a batch norm changes nothing but the running mean; its gradient is zero.
struct Double<T> {
    outputs: usize,
    seen: Seen,
    saved: OnceLock<DoubleSaved<T>>,
}

/// Gradients of the two inputs, where wanted, and of the parameters.
type DoubleGradient<T> = ([Option<Vec<T>>; 2], Vec<T>);

struct DoubleParameters<'a, T> {
    /// Weight, bias, gamma, beta.
    first: [&'a [T]; 4],
    second: [&'a [T]; 4],
    short: [&'a [T]; 4],
}

impl<'a, T> DoubleParameters<'a, T> {
    fn new(flat: &'a [T], inputs: usize, outputs: usize) -> Result<Self> {
        let mut pieces = Pieces(flat);
        let mut four = |weights: usize| -> Result<[&'a [T]; 4]> {
            Ok([
                pieces.take(weights)?,
                pieces.take(outputs)?,
                pieces.take(outputs)?,
                pieces.take(outputs)?,
            ])
        };
        Ok(Self {
            first: four(outputs * inputs * 9)?,
            second: four(outputs * outputs * 9)?,
            short: four(outputs * inputs)?,
        })
    }
}

impl<T: Real> Double<T> {
    fn run(&self, x: [(&[T], usize); 2], extent: Extent, flat: &[T]) -> Result<Vec<T>> {
        let (inputs, outputs) = (x[0].1 + x[1].1, self.outputs);
        let p = DoubleParameters::new(flat, inputs, outputs)?;
        let source = Source::Plain(x);
        let plane = extent.plane();
        let fresh = || zeros(extent.batch * outputs * plane);
        let convolve = |kind, source: &Source<'_, T>, weight: &[T], out: &mut Vec<T>| {
            let packed = Packed::new(
                kind,
                weight,
                source_channels(kind, weight, outputs),
                outputs,
            );
            let moments = forward(
                source,
                extent,
                &packed,
                Finish::PLAIN,
                vec![(out, outputs)],
                true,
            );
            BatchStatistics::from_moments(&moments, extent)
        };
        let (mut first, mut second, mut short) = (fresh(), fresh(), fresh());
        let s1 = convolve(Kind::Same3, &source, p.first[0], &mut first);
        let n1 = s1.affine(p.first[2], p.first[3]);
        let s2 = convolve(
            Kind::Same3,
            &Source::NormRelu(&first, &n1),
            p.second[0],
            &mut second,
        );
        let n2 = s2.affine(p.second[2], p.second[3]);
        let s3 = convolve(Kind::Point, &source, p.short[0], &mut short);
        let n3 = s3.affine(p.short[2], p.short[3]);
        let mut out = fresh();
        each_plane(&mut out, plane, outputs, |i, c, out| {
            let (a, b) = (&second[i * plane..][..plane], &short[i * plane..][..plane]);
            let (sa, ta, sb, tb) = (n2.scale[c], n2.shift[c], n3.scale[c], n3.shift[c]);
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                let y = sa * a + ta;
                let y = if y > T::default() { y } else { T::default() };
                *out = y + sb * b + tb;
            }
        });
        note(
            &self.seen,
            vec![
                with_bias(s1.clone(), p.first[1]),
                with_bias(s2.clone(), p.second[1]),
                with_bias(s3.clone(), p.short[1]),
            ],
        );
        let saved = DoubleSaved {
            first,
            second,
            short,
            statistics: [s1, s2, s3],
            affine: [n1, n2, n3],
        };
        if self.saved.set(saved).is_err() {
            bail!("a double convolution ran twice in one graph");
        }
        Ok(out)
    }

    /// Gradients of the two inputs (where wanted) and of the parameters.
    fn back(
        &self,
        x: [(&[T], usize); 2],
        extent: Extent,
        flat: &[T],
        g: &[T],
        wanted: [bool; 2],
    ) -> Result<DoubleGradient<T>> {
        let Some(saved) = self.saved.get() else {
            bail!("a double convolution has no forward pass to go back through");
        };
        let (inputs, outputs) = (x[0].1 + x[1].1, self.outputs);
        let p = DoubleParameters::new(flat, inputs, outputs)?;
        let source = Source::Plain(x);
        let [s1, s2, s3] = &saved.statistics;
        let [n1, n2, n3] = &saved.affine;
        let none = || vec![T::default(); outputs];

        let (gn2, g_gamma2, g_beta2) = s2.backward(n2, &masked_sums(&saved.second, g, n2, extent));
        let second = Source::NormGrad {
            x: &saved.second,
            g,
            affine: n2,
            gradient: &gn2,
            relu: true,
        };
        let hidden = Source::NormRelu(&saved.first, n1);
        let gw2 = weight_gradient(Kind::Same3, &hidden, extent, &second);
        let mut g1 = zeros(saved.first.len());
        forward(
            &second,
            extent,
            &Packed::transposed(Kind::Same3, p.second[0], outputs, outputs, 0, outputs),
            Finish::PLAIN,
            vec![(&mut g1, outputs)],
            false,
        );
        let (gn1, g_gamma1, g_beta1) = s1.backward(n1, &masked_sums(&saved.first, &g1, n1, extent));
        let first = Source::NormGrad {
            x: &saved.first,
            g: &g1,
            affine: n1,
            gradient: &gn1,
            relu: true,
        };
        let gw1 = weight_gradient(Kind::Same3, &source, extent, &first);
        let (gn3, g_gamma3, g_beta3) =
            s3.backward(n3, &plain_sums(&saved.short, g, outputs, extent));
        let short = Source::NormGrad {
            x: &saved.short,
            g,
            affine: n3,
            gradient: &gn3,
            relu: false,
        };
        let gw3 = weight_gradient(Kind::Point, &source, extent, &short);

        let mut gx = [None, None];
        let mut from = 0;
        for (i, (&(values, channels), gx)) in x.iter().zip(&mut gx).enumerate() {
            if wanted[i] && channels > 0 {
                let mut out = zeros(values.len());
                for (kind, source, weight, accumulate) in [
                    (Kind::Same3, &first, p.first[0], false),
                    (Kind::Point, &short, p.short[0], true),
                ] {
                    forward(
                        source,
                        extent,
                        &Packed::transposed(kind, weight, inputs, outputs, from, channels),
                        Finish {
                            accumulate,
                            ..Finish::PLAIN
                        },
                        vec![(&mut out, channels)],
                        false,
                    );
                }
                *gx = Some(out);
            }
            from += channels;
        }
        let parameters = [
            gw1,
            none(),
            g_gamma1,
            g_beta1,
            gw2,
            none(),
            g_gamma2,
            g_beta2,
            gw3,
            none(),
            g_gamma3,
            g_beta3,
        ]
        .concat();
        Ok((gx, parameters))
    }
}

const fn source_channels<T>(kind: Kind, weight: &[T], outputs: usize) -> usize {
    weight.len() / (outputs * kind.taps())
}

impl<T: Real> CustomOp2 for Double<T> {
    fn name(&self) -> &'static str {
        "double-convolution"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (channels, extent) = extent_of(l1.shape())?;
        let x = [(cells(s1, l1)?, channels), (&[][..], 0)];
        let out = self.run(x, extent, cells(s2, l2)?)?;
        let shape = Shape::from((extent.batch, self.outputs, extent.height, extent.width));
        Ok((T::to_cpu_storage_owned(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        p: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (channels, extent) = extent_of(x.shape())?;
        with_cells::<T, _>(x, |xs| {
            with_cells::<T, _>(p, |ps| {
                with_cells::<T, _>(g, |g| {
                    let xs = [(xs, channels), (&[][..], 0)];
                    let ([gx, _], gp) = self.back(xs, extent, ps, g, [x.track_op(), false])?;
                    Ok((
                        gx.map(|gx| tensor(gx, x)).transpose()?,
                        Some(tensor(gp, p)?),
                    ))
                })
            })
        })
    }
}

impl<T: Real> CustomOp3 for Double<T> {
    fn name(&self) -> &'static str {
        "double-convolution-of-two"
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
        let (a, extent) = extent_of(l1.shape())?;
        let (b, other) = extent_of(l2.shape())?;
        if other != extent {
            bail!("a double convolution got inputs of two sizes");
        }
        let x = [(cells(s1, l1)?, a), (cells(s2, l2)?, b)];
        let out = self.run(x, extent, cells(s3, l3)?)?;
        let shape = Shape::from((extent.batch, self.outputs, extent.height, extent.width));
        Ok((T::to_cpu_storage_owned(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        p: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (a, extent) = extent_of(x.shape())?;
        let (b, _) = extent_of(y.shape())?;
        with_cells::<T, _>(x, |xs| {
            with_cells::<T, _>(y, |ys| {
                with_cells::<T, _>(p, |ps| {
                    with_cells::<T, _>(g, |g| {
                        let wanted = [x.track_op(), y.track_op()];
                        let ([gx, gy], gp) =
                            self.back([(xs, a), (ys, b)], extent, ps, g, wanted)?;
                        Ok((
                            gx.map(|gx| tensor(gx, x)).transpose()?,
                            gy.map(|gy| tensor(gy, y)).transpose()?,
                            Some(tensor(gp, p)?),
                        ))
                    })
                })
            })
        })
    }
}

/// Residual double convolution of one or two tensors, training mode, on the CPU.
pub fn double_convolution(
    x: &Tensor,
    second: Option<&Tensor>,
    parameters: &Tensor,
    outputs: usize,
    seen: &Seen,
) -> Result<Tensor> {
    fn typed<T: Real>(
        x: &Tensor,
        second: Option<&Tensor>,
        parameters: &Tensor,
        outputs: usize,
        seen: &Seen,
    ) -> Result<Tensor> {
        let op = Double::<T> {
            outputs,
            seen: seen.clone(),
            saved: OnceLock::new(),
        };
        let x = x.contiguous()?;
        match second {
            Some(second) => x.apply_op3(&second.contiguous()?, parameters, op),
            None => x.apply_op2(parameters, op),
        }
    }
    match x.dtype() {
        DType::F64 => typed::<f64>(x, second, parameters, outputs, seen),
        _ => typed::<f32>(x, second, parameters, outputs, seen),
    }
}

/// Weight and bias of a convolution into which its norm was folded.
pub type FoldedConvolution<'a> = (&'a Tensor, &'a Tensor);

/// The block with folded norms: `relu(c2(relu(c1(x)))) + c3(x)`; no graph is kept.
pub fn folded_double_convolution(
    x: &Tensor,
    second: Option<&Tensor>,
    convolutions: [FoldedConvolution<'_>; 3],
) -> Result<Tensor> {
    fn typed<T: Real>(
        x: [(&[T], usize); 2],
        extent: Extent,
        [first, second, short]: [FoldedConvolution<'_>; 3],
    ) -> Result<Tensor> {
        let (inputs, outputs) = (x[0].1 + x[1].1, first.1.elem_count());
        let wanted = [
            outputs * inputs * 9,
            outputs * outputs * 9,
            outputs * inputs,
        ];
        for ((weight, bias), wanted) in [first, second, short].into_iter().zip(wanted) {
            if (weight.elem_count(), bias.elem_count()) != (wanted, outputs) {
                bail!("a double convolution got {inputs} channels for other weights");
            }
        }
        let out = with_both(first, |first| {
            with_both(second, |second| {
                with_both(short, |short| {
                    Ok(rows::double_convolution(x, extent, [first, second, short]))
                })
            })
        })?;
        Tensor::from_vec(
            out,
            (extent.batch, outputs, extent.height, extent.width),
            &candle_core::Device::Cpu,
        )
    }
    fn with_both<T: Real, R>(
        (weight, bias): FoldedConvolution<'_>,
        f: impl FnOnce((&[T], &[T])) -> Result<R>,
    ) -> Result<R> {
        with_cells(weight, |weight| with_cells(bias, |bias| f((weight, bias))))
    }
    fn both<T: Real>(
        x: &Tensor,
        second: Option<&Tensor>,
        convolutions: [FoldedConvolution<'_>; 3],
    ) -> Result<Tensor> {
        let (a, extent) = extent_of(x.shape())?;
        with_cells::<T, _>(x, |xs| match second {
            None => typed([(xs, a), (&[], 0)], extent, convolutions),
            Some(second) => {
                let (b, other) = extent_of(second.shape())?;
                if other != extent {
                    bail!("a double convolution got inputs of two sizes");
                }
                with_cells::<T, _>(second, |ys| typed([(xs, a), (ys, b)], extent, convolutions))
            }
        })
    }
    match x.dtype() {
        DType::F64 => both::<f64>(x, second, convolutions),
        _ => both::<f32>(x, second, convolutions),
    }
}
