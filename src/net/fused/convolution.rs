//! One convolution with bias as a differentiable operation.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use super::super::conv::source::Source;
use super::super::conv::{Extent, Finish, Kind, Packed, forward, weight_gradient};
use super::super::lanes::Real;
use super::super::norm::plain_sums;
use super::{cells, extent_of, tensor, with_cells, zeros};

/// A convolution with bias; arguments input, weight, bias.
struct Convolution(Kind);

impl Convolution {
    fn sizes(&self, x: &Shape, w: &Shape) -> Result<(usize, usize, Extent)> {
        let (inputs, extent) = extent_of(x)?;
        let (a, b, ..) = w.dims4()?;
        let (w_in, outputs) = if self.0 == Kind::Up2 { (a, b) } else { (b, a) };
        if w_in != inputs || w.elem_count() != inputs * outputs * self.0.taps() {
            bail!("a convolution got {inputs} channels for weights {w:?}");
        }
        Ok((inputs, outputs, extent))
    }

    fn run<T: Real>(&self, s: [&CpuStorage; 3], l: [&Layout; 3]) -> Result<(CpuStorage, Shape)> {
        let (inputs, outputs, extent) = self.sizes(l[0].shape(), l[1].shape())?;
        let (x, w, b) = (
            cells::<T>(s[0], l[0])?,
            cells(s[1], l[1])?,
            cells(s[2], l[2])?,
        );
        let (height, width) = self.0.output(extent.height, extent.width);
        let mut out = zeros(extent.batch * outputs * height * width);
        forward(
            &Source::Plain([(x, inputs), (&[], 0)]),
            extent,
            &Packed::new(self.0, w, inputs, outputs),
            Finish {
                bias: Some(b),
                ..Finish::PLAIN
            },
            vec![(&mut out, outputs)],
            false,
        );
        Ok((
            T::to_cpu_storage_owned(out),
            Shape::from((extent.batch, outputs, height, width)),
        ))
    }

    fn back<T: Real>(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (inputs, outputs, extent) = self.sizes(x.shape(), w.shape())?;
        let (height, width) = self.0.output(extent.height, extent.width);
        let fine = Extent {
            height,
            width,
            ..extent
        };
        with_cells::<T, _>(g, |g| {
            with_cells::<T, _>(x, |xs| {
                with_cells::<T, _>(w, |ws| {
                    let gradient = Source::Plain([(g, outputs), (&[], 0)]);
                    let source = Source::Plain([(xs, inputs), (&[], 0)]);
                    let gw = weight_gradient(self.0, &source, extent, &gradient);
                    let gb = plain_sums(g, g, outputs, fine);
                    let gb: Vec<T> = gb.iter().map(|s| T::real(s[0])).collect();
                    let mut gx = None;
                    if x.track_op() {
                        let mut out = zeros(xs.len());
                        forward(
                            &gradient,
                            fine,
                            &Packed::transposed(self.0, ws, inputs, outputs, 0, inputs),
                            Finish::PLAIN,
                            vec![(&mut out, inputs)],
                            false,
                        );
                        gx = Some(tensor(out, x)?);
                    }
                    Ok((gx, Some(tensor(gw, w)?), Some(tensor(gb, b)?)))
                })
            })
        })
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
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
        let (s, l) = ([s1, s2, s3], [l1, l2, l3]);
        match s1 {
            CpuStorage::F32(_) => self.run::<f32>(s, l),
            CpuStorage::F64(_) => self.run::<f64>(s, l),
            _ => bail!("the net computes in f32 or f64"),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        match x.dtype() {
            DType::F64 => self.back::<f64>(x, w, b, g),
            _ => self.back::<f32>(x, w, b, g),
        }
    }
}

/// The same with a ReLU where wanted; no graph is kept.
pub fn folded_convolution(
    kind: Kind,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    relu: bool,
) -> Result<Tensor> {
    fn typed<T: Real>(
        op: &Convolution,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        relu: bool,
    ) -> Result<Tensor> {
        let (inputs, outputs, extent) = op.sizes(x.shape(), w.shape())?;
        let (height, width) = op.0.output(extent.height, extent.width);
        let mut out = vec![T::default(); extent.batch * outputs * height * width];
        with_cells::<T, _>(x, |x| {
            with_cells::<T, _>(w, |w| {
                with_cells::<T, _>(b, |b| {
                    forward(
                        &Source::Plain([(x, inputs), (&[], 0)]),
                        extent,
                        &Packed::new(op.0, w, inputs, outputs),
                        Finish {
                            bias: Some(b),
                            relu,
                            accumulate: false,
                        },
                        vec![(&mut out, outputs)],
                        false,
                    );
                    Ok(())
                })
            })
        })?;
        Tensor::from_vec(out, (extent.batch, outputs, height, width), x.device())
    }
    match x.dtype() {
        DType::F64 => typed::<f64>(&Convolution(kind), x, weight, bias, relu),
        _ => typed::<f32>(&Convolution(kind), x, weight, bias, relu),
    }
}

/// A convolution with bias on the CPU, differentiable in all three arguments.
pub fn convolution(kind: Kind, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(
        &weight.contiguous()?,
        &bias.contiguous()?,
        Convolution(kind),
    )
}
