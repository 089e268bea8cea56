//! Element-wise functions of one or two numbers.

use super::lowering::{Lowered, Lowering, broadcast, number};
use crate::onnx::plan::Value;
use scv_domain::graph::{Activation, BinaryFunction, NumberType, Operator, TensorOperator, UnaryFunction};

pub(super) fn activation(lowering: &mut Lowering<'_>, function: Activation) -> Lowered {
    let x = lowering.input(0)?;
    Ok(vec![activated(lowering, x, function)?])
}

pub(super) fn activated(lowering: &mut Lowering<'_>, x: Value, function: Activation) -> Result<Value, String> {
    let dims = x.dims().to_vec();
    lowering.layer(Operator::Activation(function), x, Vec::new(), dims, 0)
}

/// Activations whose settings are attributes with defaults.
macro_rules! activations {
    ($($name:ident => |$attributes:ident| $function:expr;)*) => {$(
        pub(super) fn $name(lowering: &mut Lowering<'_>) -> Lowered {
            let $attributes = |name: &str, default: f64| lowering.attributes.float(name).unwrap_or(default);
            let _ = &$attributes;
            let function = $function;
            activation(lowering, function)
        }
    )*};
}

activations! {
    relu => |_given| Activation::Relu;
    leaky_relu => |given| Activation::LeakyRelu { negative_slope: given("alpha", 0.01) };
    elu => |given| Activation::Elu { alpha: given("alpha", 1.0) };
    selu => |given| Activation::Selu { alpha: given("alpha", 1.673_263_2), gamma: given("gamma", 1.050_701) };
    celu => |given| Activation::Celu { alpha: given("alpha", 1.0) };
    sigmoid => |_given| Activation::Sigmoid;
    tanh => |_given| Activation::Tanh;
    softplus => |_given| Activation::Softplus { beta: 1.0, threshold: f64::INFINITY };
    softsign => |_given| Activation::Softsign;
    mish => |_given| Activation::Mish;
    hard_swish => |_given| Activation::HardSwish;
    hard_sigmoid => |given| Activation::HardSigmoid { alpha: given("alpha", 0.2), beta: given("beta", 0.5) };
    thresholded_relu => |given| Activation::ThresholdedRelu { alpha: given("alpha", 1.0) };
}

pub(super) fn gelu(lowering: &mut Lowering<'_>) -> Lowered {
    let tanh = lowering.attributes.text("approximate") == Some("tanh");
    activation(lowering, Activation::Gelu { tanh })
}

/// `x * sigmoid(alpha x)`
pub(super) fn swish(lowering: &mut Lowering<'_>) -> Lowered {
    sharp_swish(lowering, 1.0)
}

/// The same with another default for `alpha`, which comes close to the Gaussian error linear unit.
pub(super) fn quick_gelu(lowering: &mut Lowering<'_>) -> Lowered {
    sharp_swish(lowering, 1.702)
}

fn sharp_swish(lowering: &mut Lowering<'_>, default: f64) -> Lowered {
    let alpha = lowering.attributes.float("alpha").unwrap_or(default);
    if alpha == 1.0 {
        return activation(lowering, Activation::Silu);
    }
    let x = lowering.input(0)?;
    let sharper = pair(lowering, BinaryFunction::Mul, x.clone(), number(alpha as f32)?)?;
    let share = activated(lowering, sharper, Activation::Sigmoid)?;
    Ok(vec![pair(lowering, BinaryFunction::Mul, x, share)?])
}

/// The bounds are attributes up to operator set 10, and inputs afterwards.
pub(super) fn clip(lowering: &mut Lowering<'_>) -> Lowered {
    if lowering.input(0)?.kind() != NumberType::Float {
        return clip_integers(lowering);
    }
    let bound = |lowering: &Lowering<'_>, name: &str, position: usize, none: f64| -> Result<f64, String> {
        Ok(match lowering.attributes.float(name) {
            Some(given) => given,
            None => lowering.scalar(position)?.unwrap_or(none),
        })
    };
    let min = bound(lowering, "min", 1, f64::from(f32::NEG_INFINITY))?;
    let max = bound(lowering, "max", 2, f64::from(f32::INFINITY))?;
    if min > max {
        // ONNX applies the upper bound last.
        return activation(lowering, Activation::Hardtanh { min: max, max });
    }
    activation(lowering, Activation::Hardtanh { min, max })
}

fn clip_integers(lowering: &mut Lowering<'_>) -> Lowered {
    let mut value = lowering.input(0)?;
    for (position, function) in [(1, BinaryFunction::Max), (2, BinaryFunction::Min)] {
        if lowering.optional(position).is_some() {
            let bound = lowering.input(position)?;
            value = pair(lowering, function, value, bound)?;
        }
    }
    Ok(vec![value])
}

pub(super) fn pair(lowering: &mut Lowering<'_>, function: BinaryFunction, a: Value, b: Value) -> Result<Value, String> {
    let dims = broadcast(a.dims(), b.dims())?;
    let logic = matches!(function, BinaryFunction::And | BinaryFunction::Or | BinaryFunction::Xor);
    if a.kind() != b.kind() && function != BinaryFunction::Pow {
        return Err("its inputs have numbers of different types".to_owned());
    }
    let allowed = match a.kind() {
        NumberType::Boolean => logic || function == BinaryFunction::Equal,
        NumberType::Integer => !logic && function != BinaryFunction::Prelu,
        NumberType::Float => !logic,
    };
    if !allowed {
        return Err("it does not support numbers of this type".to_owned());
    }
    let kind = match function {
        BinaryFunction::Equal
        | BinaryFunction::Less
        | BinaryFunction::LessOrEqual
        | BinaryFunction::Greater
        | BinaryFunction::GreaterOrEqual
        | BinaryFunction::And
        | BinaryFunction::Or
        | BinaryFunction::Xor => NumberType::Boolean,
        _ => a.kind(),
    };
    lowering.tensor_of(kind, TensorOperator::Binary(function), vec![a, b], dims)
}

macro_rules! functions_of_two {
    ($($name:ident => $function:ident;)*) => {$(
        pub(super) fn $name(lowering: &mut Lowering<'_>) -> Lowered {
            let (a, b) = (lowering.input(0)?, lowering.input(1)?);
            Ok(vec![pair(lowering, BinaryFunction::$function, a, b)?])
        }
    )*};
}

functions_of_two! {
    add => Add;
    sub => Sub;
    mul => Mul;
    div => Div;
    pow => Pow;
    prelu => Prelu;
    equal => Equal;
    less => Less;
    less_or_equal => LessOrEqual;
    greater => Greater;
    greater_or_equal => GreaterOrEqual;
    and => And;
    or => Or;
    xor => Xor;
}

/// Remainders have the sign of the divisor, or that of the dividend if the attribute `fmod` is set.
pub(super) fn modulo(lowering: &mut Lowering<'_>) -> Lowered {
    let (a, b) = (lowering.input(0)?, lowering.input(1)?);
    let function = if lowering.attributes.flag("fmod", false) {
        BinaryFunction::Fmod
    } else {
        BinaryFunction::Mod
    };
    Ok(vec![pair(lowering, function, a, b)?])
}

macro_rules! functions_of_many {
    ($($name:ident => $function:ident;)*) => {$(
        pub(super) fn $name(lowering: &mut Lowering<'_>) -> Lowered {
            Ok(vec![of_many(lowering, BinaryFunction::$function)?])
        }
    )*};
}

functions_of_many! {
    sum => Add;
    max => Max;
    min => Min;
}

fn of_many(lowering: &mut Lowering<'_>, function: BinaryFunction) -> Result<Value, String> {
    let mut value = lowering.input(0)?;
    for position in 1..lowering.inputs.len() {
        let next = lowering.input(position)?;
        value = pair(lowering, function, value, next)?;
    }
    Ok(value)
}

pub(super) fn mean(lowering: &mut Lowering<'_>) -> Lowered {
    let count = lowering.inputs.len() as f32;
    let total = of_many(lowering, BinaryFunction::Add)?;
    Ok(vec![pair(lowering, BinaryFunction::Div, total, number(count)?)?])
}

/// Whether a number is NaN, the only one that does not equal itself.
pub(super) fn is_nan(lowering: &mut Lowering<'_>) -> Lowered {
    let x = lowering.input(0)?;
    if x.kind() != NumberType::Float {
        return Err("it does not support numbers of this type".to_owned());
    }
    let is_number = pair(lowering, BinaryFunction::Equal, x.clone(), x)?;
    let dims = is_number.dims().to_vec();
    let negated = TensorOperator::Unary(UnaryFunction::Not);
    Ok(vec![lowering.tensor(negated, vec![is_number], dims)?])
}

/// Whether a number is infinite, of one sign or of either.
pub(super) fn is_infinite(lowering: &mut Lowering<'_>) -> Lowered {
    let [positive, negative] = ["detect_positive", "detect_negative"].map(|sign| lowering.attributes.flag(sign, true));
    let (x, infinity) = match (positive, negative) {
        (true, true) => (of_one(lowering, UnaryFunction::Abs)?, f32::INFINITY),
        (true, false) => (lowering.input(0)?, f32::INFINITY),
        (false, true) => (lowering.input(0)?, f32::NEG_INFINITY),
        (false, false) => return Err("it detects neither sign of infinity".to_owned()),
    };
    Ok(vec![pair(lowering, BinaryFunction::Equal, x, number(infinity)?)?])
}

macro_rules! functions_of_one {
    ($($name:ident => $function:ident;)*) => {$(
        pub(super) fn $name(lowering: &mut Lowering<'_>) -> Lowered {
            Ok(vec![of_one(lowering, UnaryFunction::$function)?])
        }
    )*};
}

fn of_one(lowering: &mut Lowering<'_>, function: UnaryFunction) -> Result<Value, String> {
    let x = lowering.input(0)?;
    let for_integers = matches!(function, UnaryFunction::Neg | UnaryFunction::Abs | UnaryFunction::Sign);
    let allowed = match x.kind() {
        NumberType::Float => function != UnaryFunction::Not,
        NumberType::Integer => for_integers,
        NumberType::Boolean => function == UnaryFunction::Not,
    };
    if !allowed {
        return Err("it does not support numbers of this type".to_owned());
    }
    let dims = x.dims().to_vec();
    lowering.tensor(TensorOperator::Unary(function), vec![x], dims)
}

functions_of_one! {
    neg => Neg;
    abs => Abs;
    exp => Exp;
    log => Log;
    sqrt => Sqrt;
    reciprocal => Reciprocal;
    erf => Erf;
    sin => Sin;
    cos => Cos;
    floor => Floor;
    ceil => Ceil;
    round => Round;
    sign => Sign;
    not => Not;
}
