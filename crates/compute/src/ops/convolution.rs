//! Convolution and transposed convolution as differentiable operations.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::kernels::Kernels;
use super::portable;
use super::slices::{output, values};
use super::window::{Convolution, Window};

/// `y [batch, outputs, ..]` from `x [batch, inputs, ..]` and `weight [outputs, inputs / groups, ..]`.
pub(super) fn convolve(kernels: Kernels, x: &Tensor, weight: &Tensor, window: Window, groups: usize) -> Result<Tensor> {
    if kernels == Kernels::Portable {
        return portable::convolve(x, weight, &window, groups);
    }
    let shape = Convolution {
        batch: x.dim(0)?,
        inputs: x.dim(1)?,
        outputs: weight.dim(0)?,
        groups,
        window,
    };
    x.contiguous()?.apply_op2(
        &weight.contiguous()?,
        Contraction {
            shape,
            result: Role::Output,
        },
    )
}

/// The gradient of a convolution with respect to its input, as an operation of its own. `x` takes the
/// place of the convolution's output; `weight` is `[inputs, outputs / groups, ..]` in terms of this operation.
pub(super) fn convolve_transposed(
    kernels: Kernels,
    x: &Tensor,
    weight: &Tensor,
    window: Window,
    groups: usize,
) -> Result<Tensor> {
    if kernels == Kernels::Portable {
        return portable::convolve_transposed(x, weight, &window, groups);
    }
    let shape = Convolution {
        batch: x.dim(0)?,
        inputs: weight.dim(1)? * groups,
        outputs: x.dim(1)?,
        groups,
        window,
    };
    x.contiguous()?.apply_op2(
        &weight.contiguous()?,
        Contraction {
            shape,
            result: Role::Input,
        },
    )
}

/// One of the three tensors of a convolution: an operation computes it from the other two.
#[derive(Debug, Clone, Copy)]
enum Role {
    /// From input and weight.
    Output,
    /// From output and weight.
    Input,
    /// From input and output.
    Weight,
}

/// The sum over all taps, with one of its three tensors as the result.
struct Contraction {
    shape: Convolution,
    result: Role,
}

impl Contraction {
    fn dims(&self, role: Role) -> [usize; 4] {
        let Convolution {
            batch,
            inputs,
            outputs,
            groups,
            window,
        } = self.shape;
        match role {
            Role::Output => [batch, outputs, window.output[0], window.output[1]],
            Role::Input => [batch, inputs, window.input[0], window.input[1]],
            Role::Weight => [outputs, inputs / groups, window.kernel[0], window.kernel[1]],
        }
    }

    fn operands(&self) -> [Role; 2] {
        match self.result {
            Role::Output => [Role::Input, Role::Weight],
            Role::Input => [Role::Output, Role::Weight],
            Role::Weight => [Role::Input, Role::Output],
        }
    }

    fn sibling(&self, result: Role) -> Contraction {
        Contraction {
            shape: self.shape,
            result,
        }
    }

    /// Checks the shapes that the kernels index by.
    fn check(&self, layouts: [&Layout; 2]) -> Result<()> {
        let Convolution {
            inputs,
            outputs,
            groups,
            ..
        } = self.shape;
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            candle_core::bail!("{inputs} input and {outputs} output channels cannot be divided into {groups} groups");
        }
        if [Role::Output, Role::Input, Role::Weight]
            .iter()
            .any(|&role| self.dims(role).contains(&0))
        {
            candle_core::bail!("a convolution needs at least one image, channel, row and column");
        }
        for (role, layout) in self.operands().into_iter().zip(layouts) {
            if layout.dims() != self.dims(role) {
                candle_core::bail!(
                    "{role:?} of a convolution has shape {:?}, not {:?}",
                    layout.dims(),
                    self.dims(role)
                );
            }
        }
        Ok(())
    }
}

impl CustomOp2 for Contraction {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        self.check([l1, l2])?;
        let (first, second) = (values(s1, l1)?, values(s2, l2)?);
        let result = match self.result {
            Role::Output => self.shape.output(first, second),
            Role::Input => self.shape.input_gradient(first, second),
            Role::Weight => self.shape.weight_gradient(first, second),
        };
        output(result, self.dims(self.result).as_slice())
    }

    /// The sum is linear in each of its three tensors, so every gradient is the same sum again.
    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let tracked = (first.track_op(), second.track_op());
        match self.result {
            Role::Output => Ok((
                tracked
                    .0
                    .then(|| gradient.apply_op2_no_bwd(second, &self.sibling(Role::Input)))
                    .transpose()?,
                tracked
                    .1
                    .then(|| first.apply_op2_no_bwd(&gradient, &self.sibling(Role::Weight)))
                    .transpose()?,
            )),
            Role::Input => Ok((
                tracked
                    .0
                    .then(|| gradient.apply_op2_no_bwd(second, &self.sibling(Role::Output)))
                    .transpose()?,
                tracked
                    .1
                    .then(|| gradient.apply_op2_no_bwd(first, &self.sibling(Role::Weight)))
                    .transpose()?,
            )),
            Role::Weight => candle_core::bail!("the gradient of a weight gradient is not defined"),
        }
    }
}
