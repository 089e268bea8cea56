//! Elementwise functions of one or two numbers, except activations.

use candle_core::{DType, Result, Tensor};

use super::channels;
use super::erf;
use scv_domain::graph::{BinaryFunction, UnaryFunction};

/// A function of two numbers, both broadcast to `dims`.
pub(super) fn binary(function: BinaryFunction, a: &Tensor, b: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let (a, b) = same_type(a, b)?;
    if let (DType::I64, Some(function)) = (a.dtype(), integer_function(function)) {
        return on_integers(function, &a, &b, dims);
    }
    let broadcast = || Ok::<_, candle_core::Error>((a.broadcast_as(dims)?, b.broadcast_as(dims)?));
    match function {
        BinaryFunction::Add => a.broadcast_add(&b),
        BinaryFunction::Sub => a.broadcast_sub(&b),
        BinaryFunction::Mul => a.broadcast_mul(&b),
        BinaryFunction::Div => a.broadcast_div(&b),
        BinaryFunction::Mod => MOD.of(&a, &b, dims),
        BinaryFunction::Fmod => FMOD.of(&a, &b, dims),
        BinaryFunction::Pow => power(&a, &b, dims),
        BinaryFunction::Min => a.broadcast_minimum(&b),
        BinaryFunction::Max => a.broadcast_maximum(&b),
        BinaryFunction::Prelu => match channels::leaky_by_channel(&a, &b)? {
            Some(leaky) => Ok(leaky),
            None => {
                let (a, b) = broadcast()?;
                a.detach().gt(0.0)?.where_cond(&a.contiguous()?, &(&a * &b)?)
            }
        },
        BinaryFunction::Equal => a.broadcast_eq(&b),
        BinaryFunction::Less => a.broadcast_lt(&b),
        BinaryFunction::LessOrEqual => a.broadcast_le(&b),
        BinaryFunction::Greater => a.broadcast_gt(&b),
        BinaryFunction::GreaterOrEqual => a.broadcast_ge(&b),
        BinaryFunction::And => a.broadcast_mul(&b),
        BinaryFunction::Or => a.broadcast_maximum(&b),
        BinaryFunction::Xor => a.broadcast_ne(&b),
    }
}

/// Integer arithmetic, which wraps around. A division by zero gives 0: candle's would abort the program.
fn integer_function(function: BinaryFunction) -> Option<fn(i64, i64) -> i64> {
    match function {
        BinaryFunction::Add => Some(i64::wrapping_add),
        BinaryFunction::Sub => Some(i64::wrapping_sub),
        BinaryFunction::Mul => Some(i64::wrapping_mul),
        BinaryFunction::Div => Some(|a, b| if b == 0 { 0 } else { a.wrapping_div(b) }),
        BinaryFunction::Fmod => Some(|a, b| if b == 0 { 0 } else { a.wrapping_rem(b) }),
        BinaryFunction::Mod => Some(|a, b| match b {
            0 => 0,
            b => a.wrapping_rem(b).wrapping_add(b).wrapping_rem(b),
        }),
        _ => None,
    }
}

fn on_integers(function: fn(i64, i64) -> i64, a: &Tensor, b: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let numbers = |x: &Tensor| x.broadcast_as(dims)?.flatten_all()?.to_vec1::<i64>();
    let pairs = numbers(a)?.into_iter().zip(numbers(b)?);
    Tensor::from_vec(pairs.map(|(a, b)| function(a, b)).collect(), dims, a.device())
}

/// Converts the second operand to the type of the first: a power has the type of its base, and its exponent may
/// have another one.
fn same_type(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    if a.dtype() == b.dtype() {
        Ok((a.clone(), b.clone()))
    } else {
        Ok((a.clone(), b.to_dtype(a.dtype())?))
    }
}

/// A power. Those of integers are computed in floating point. One exponent for all numbers is the usual case; squares
/// and roots are exact then.
fn power(a: &Tensor, b: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let dtype = a.dtype();
    let a = a.to_dtype(DType::F32)?;
    let result = match b.elem_count() {
        1 if !b.track_op() => {
            let exponent = b.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?[0];
            let power = match exponent {
                2.0 => a.sqr()?,
                0.5 => a.sqrt()?,
                _ => a.powf(f64::from(exponent))?,
            };
            let rank = b.rank().saturating_sub(a.rank());
            (0..rank).try_fold(power, |power, _| power.unsqueeze(0))?
        }
        _ => POWER.of(&a, &b.to_dtype(DType::F32)?, dims)?,
    };
    if dtype.is_float() {
        Ok(result)
    } else {
        result.round()?.to_dtype(dtype)
    }
}

/// The remainder with the sign of the divisor.
fn floored_remainder(a: f32, b: f32) -> f32 {
    let remainder = a % b;
    if remainder != 0.0 && (remainder < 0.0) != (b < 0.0) {
        remainder + b
    } else {
        remainder
    }
}

/// A function of two numbers that candle lacks, or lacks for some numbers.
struct Differentiable {
    value: fn(f32, f32) -> f32,
    /// Partial derivatives with respect to the first and the second number.
    partials: [fn(f32, f32) -> f32; 2],
}

const MOD: Differentiable = Differentiable {
    value: floored_remainder,
    partials: [|_, _| 1.0, |a, b| -(a / b).floor()],
};

const FMOD: Differentiable = Differentiable {
    value: |a, b| a % b,
    partials: [|_, _| 1.0, |a, b| -(a / b).trunc()],
};

/// candle computes powers through logarithms, which negative numbers do not have.
const POWER: Differentiable = Differentiable {
    value: f32::powf,
    partials: [|a, b| b * a.powf(b - 1.0), |a, b| a.powf(b) * a.ln()],
};

impl Differentiable {
    /// Its values for numbers broadcast to `dims`, with gradients.
    fn of(&self, a: &Tensor, b: &Tensor, dims: &[usize]) -> Result<Tensor> {
        let numbers = |x: &Tensor| x.detach().broadcast_as(dims)?.flatten_all()?.to_vec1::<f32>();
        let (firsts, seconds) = (numbers(a)?, numbers(b)?);
        let each = |function: fn(f32, f32) -> f32| firsts.iter().zip(&seconds).map(move |(a, b)| function(*a, *b));
        let tensor = |numbers: Vec<f32>| Tensor::from_vec(numbers, dims, a.device());
        let mut result = tensor(each(self.value).collect())?;
        for (x, partial) in [a, b].into_iter().zip(self.partials).filter(|(x, _)| x.track_op()) {
            // Infinity counts as zero here and below: it would turn the value itself into NaN.
            let partials = each(partial).map(|partial| if partial.is_finite() { partial } else { 0.0 });
            // Its value is zero, its derivative one.
            let change = (x - x.detach())?;
            let is_finite = x.detach().abs()?.lt(f32::INFINITY)?;
            let change = is_finite.where_cond(&change, &x.detach().zeros_like()?)?;
            result = (result + tensor(partials.collect())?.broadcast_mul(&change)?)?;
        }
        Ok(result)
    }
}

/// A function of one number.
pub(super) fn unary(function: UnaryFunction, x: &Tensor) -> Result<Tensor> {
    if x.dtype() == DType::I64 {
        let function: fn(i64, i64) -> i64 = match function {
            UnaryFunction::Neg => |x, _| x.wrapping_neg(),
            UnaryFunction::Abs => |x, _| x.wrapping_abs(),
            UnaryFunction::Sign => |x, _| x.signum(),
            other => candle_core::bail!("{other:?} is not defined for integers"),
        };
        return on_integers(function, x, x, x.dims());
    }
    match function {
        UnaryFunction::Neg => x.neg(),
        UnaryFunction::Abs => x.abs(),
        UnaryFunction::Exp => x.exp(),
        UnaryFunction::Log => x.log(),
        UnaryFunction::Sqrt => x.sqrt(),
        UnaryFunction::Reciprocal => x.recip(),
        UnaryFunction::Erf => erf::of(x),
        UnaryFunction::Sin => x.sin(),
        UnaryFunction::Cos => x.cos(),
        UnaryFunction::Floor => x.floor(),
        UnaryFunction::Ceil => x.ceil(),
        UnaryFunction::Round => round_half_to_even(x),
        UnaryFunction::Sign => x.sign(),
        UnaryFunction::Not => x.eq(&x.zeros_like()?),
    }
}

/// candle rounds halves away from zero. For halves, rounding half of the number and doubling it is right; all other
/// numbers agree.
pub(super) fn round_half_to_even(x: &Tensor) -> Result<Tensor> {
    let nearest = x.round()?;
    let is_half = (x - x.floor()?)?.eq(0.5)?;
    let even = ((x * 0.5)?.round()? * 2.0)?;
    is_half.where_cond(&even, &nearest)
}
