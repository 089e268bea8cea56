//! Functions of one number or of two, element by element, that are no activations.

use candle_core::{DType, Result, Tensor};

use super::channels;
use super::erf;
use scv_domain::graph::{BinaryFunction, UnaryFunction};

/// A function of two numbers, both spread over `dims`.
pub(super) fn binary(function: BinaryFunction, a: &Tensor, b: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let (a, b) = alike(a, b)?;
    if let (DType::I64, Some(function)) = (a.dtype(), whole(function)) {
        return whole_numbers(function, &a, &b, dims);
    }
    let spread = || Ok::<_, candle_core::Error>((a.broadcast_as(dims)?, b.broadcast_as(dims)?));
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
        BinaryFunction::Prelu => match channels::leak(&a, &b)? {
            Some(leaky) => Ok(leaky),
            None => {
                let (a, b) = spread()?;
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

/// Arithmetic on whole numbers, which wraps around: candle's would end the program at a division by zero.
fn whole(function: BinaryFunction) -> Option<fn(i64, i64) -> i64> {
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

fn whole_numbers(function: fn(i64, i64) -> i64, a: &Tensor, b: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let numbers = |x: &Tensor| x.broadcast_as(dims)?.flatten_all()?.to_vec1::<i64>();
    let pairs = numbers(a)?.into_iter().zip(numbers(b)?);
    Tensor::from_vec(pairs.map(|(a, b)| function(a, b)).collect(), dims, a.device())
}

/// Powers of whole numbers are taken in floating point, and a float keeps its type whatever its exponent's is.
fn alike(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    match a.dtype() == b.dtype() {
        true => Ok((a.clone(), b.clone())),
        false => Ok((a.clone(), b.to_dtype(a.dtype())?)),
    }
}

/// One exponent for all is the usual case, and exact for squares and roots.
fn power(a: &Tensor, b: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let whole = a.dtype();
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
    match whole.is_float() {
        true => Ok(result),
        false => result.round()?.to_dtype(whole),
    }
}

/// The remainder with the sign of the divisor.
fn floored(a: f32, b: f32) -> f32 {
    let remainder = a % b;
    match remainder != 0.0 && (remainder < 0.0) != (b < 0.0) {
        true => remainder + b,
        false => remainder,
    }
}

/// A function of two numbers that candle has not, or not for all numbers.
struct Differentiable {
    value: fn(f32, f32) -> f32,
    /// Partial derivatives by the first number and by the second.
    partials: [fn(f32, f32) -> f32; 2],
}

const MOD: Differentiable = Differentiable {
    value: floored,
    partials: [|_, _| 1.0, |a, b| -(a / b).floor()],
};

const FMOD: Differentiable = Differentiable {
    value: |a, b| a % b,
    partials: [|_, _| 1.0, |a, b| -(a / b).trunc()],
};

/// candle takes powers through logarithms, which negative numbers have none of.
const POWER: Differentiable = Differentiable {
    value: f32::powf,
    partials: [|a, b| b * a.powf(b - 1.0), |a, b| a.powf(b) * a.ln()],
};

impl Differentiable {
    /// Its values for numbers spread over `dims`, with gradients.
    fn of(&self, a: &Tensor, b: &Tensor, dims: &[usize]) -> Result<Tensor> {
        let numbers = |x: &Tensor| x.detach().broadcast_as(dims)?.flatten_all()?.to_vec1::<f32>();
        let (firsts, seconds) = (numbers(a)?, numbers(b)?);
        let each = |function: fn(f32, f32) -> f32| firsts.iter().zip(&seconds).map(move |(a, b)| function(*a, *b));
        let tensor = |numbers: Vec<f32>| Tensor::from_vec(numbers, dims, a.device());
        let mut result = tensor(each(self.value).collect())?;
        for (x, partial) in [a, b].into_iter().zip(self.partials).filter(|(x, _)| x.track_op()) {
            // What is infinite counts as zero here and below: it would make the value itself NaN.
            let partials = each(partial).map(|partial| if partial.is_finite() { partial } else { 0.0 });
            // Zero, with a derivative of one.
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
            other => candle_core::bail!("{other:?} is not defined for whole numbers"),
        };
        return whole_numbers(function, x, x, x.dims());
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

/// candle rounds halves away from zero; twice the rounded half is right for them, and all else agrees.
fn round_half_to_even(x: &Tensor) -> Result<Tensor> {
    let nearest = x.round()?;
    let is_half = (x - x.floor()?)?.eq(0.5)?;
    let even = ((x * 0.5)?.round()? * 2.0)?;
    is_half.where_cond(&even, &nearest)
}
