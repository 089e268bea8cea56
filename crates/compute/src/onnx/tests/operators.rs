//! Operators that are made of several steps.

use super::small::{numbers_of, text};
use super::*;
use crate::onnx::proto::{AttributeProto, AttributeType, NodeProto, TensorProto};

/// What a file computes from two images, and the kinds of its layers.
fn outputs(model: &ModelProto) -> (Vec<f32>, Vec<&'static str>) {
    let (network, same) = run(model);
    assert!(network.graph().is_batched && same);
    let images = images(2, &network.graph().input_shape);
    let kinds = network.graph().layers().map(|(_, node)| node.kind).collect();
    (output_of(&network, &images), kinds)
}

fn assert_same(model: &ModelProto, other: &ModelProto) {
    let ((a, kinds), (b, other_kinds)) = (outputs(model), outputs(other));
    assert_eq!((a.len(), kinds), (b.len(), other_kinds));
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a}, not {b}");
    }
}

const IMAGE: [Option<i64>; 4] = [None, Some(3), Some(4), Some(6)];

fn einsum(equation: &str, inputs: &[&str]) -> NodeProto {
    node("Einsum", inputs, "y", vec![text("equation", equation)])
}

fn of(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> ModelProto {
    file(&IMAGE, nodes, constants)
}

#[test]
fn a_sum_of_products_is_that_of_matrix_products() {
    let turned = node("Transpose", &["x"], "turned", vec![ints("perm", &[0, 1, 3, 2])]);
    let product = node("MatMul", &["x", "turned"], "y", Vec::new());
    let products = of(vec![turned.clone(), product], Vec::new());
    for equation in ["bhid,bhjd->bhij", "b h i d, b h j d -> b h i j", "...id,...jd->...ij"] {
        assert_same(&of(vec![einsum(equation, &["x", "x"])], Vec::new()), &products);
    }
    // A constant factor makes it a linear layer, whichever comes first.
    let matrix = || vec![numbers("matrix", &[6, 5])];
    let linear = of(vec![node("MatMul", &["x", "matrix"], "y", Vec::new())], matrix());
    assert_same(&of(vec![einsum("nchw,wk->nchk", &["x", "matrix"])], matrix()), &linear);
    assert_same(&of(vec![einsum("wk,nchw->nchk", &["matrix", "x"])], matrix()), &linear);
    let by_channel = || vec![numbers("mixing", &[5, 3])];
    let mixed = of(
        vec![node("Conv", &["x", "mixing4"], "y", Vec::new())],
        vec![TensorProto {
            dims: vec![5, 3, 1, 1],
            name: "mixing4".into(),
            ..numbers("mixing", &[5, 3])
        }],
    );
    let (a, _) = outputs(&of(vec![einsum("oc,nchw->nohw", &["mixing", "x"])], by_channel()));
    let (b, _) = outputs(&mixed);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn sums_diagonals_and_products_without_a_sum_have_equations_too() {
    let sum = node("ReduceSum", &["x", "axes"], "y", vec![int("keepdims", 0)]);
    let sums = of(vec![sum], vec![list("axes", &[1, 3])]);
    let (a, _) = outputs(&of(vec![einsum("nchw->nh", &["x"])], Vec::new()));
    assert_eq!(a, outputs(&sums).0);
    let (scaled, _) = outputs(&of(
        vec![einsum("nchw,c->nhwc", &["x", "by_channel"])],
        vec![numbers("by_channel", &[3])],
    ));
    let multiplied = vec![
        node("Transpose", &["x"], "last", vec![ints("perm", &[0, 2, 3, 1])]),
        node("Mul", &["last", "by_channel"], "y", Vec::new()),
    ];
    assert_eq!(scaled, outputs(&of(multiplied, vec![numbers("by_channel", &[3])])).0);
    let square = vec![
        node("Slice", &["x", "from", "to"], "square", Vec::new()),
        einsum("ncii->nci", &["square"]),
    ];
    let constants = vec![list("from", &[0, 0, 0, 0]), list("to", &[9, 9, 4, 4])];
    let (diagonal, _) = outputs(&of(square, constants));
    let all = images(2, &[3, 4, 6]).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let expected: Vec<f32> = (0..6)
        .flat_map(|plane| (0..4).map(move |place| plane * 24 + place * 7))
        .map(|at| all[at])
        .collect();
    assert_eq!(diagonal, expected);
}

#[test]
fn an_equation_that_does_not_fit_is_refused_with_the_reason() {
    for (equation, reason) in [
        ("nchw,wk->nchk", "has 2 terms for 1 inputs"),
        ("nch->n", "does not name all 4 dimensions"),
        ("nchw->nz", "a dimension in its output that no input has"),
        ("nchw->nn", "or twice"),
        ("nc1w->n", "a name that is not a letter"),
        ("nccw->n", "3 and 4 long"),
    ] {
        let text = refusal(&of(vec![einsum(equation, &["x"])], Vec::new()));
        assert!(text.contains(reason), "{equation}: {text}");
    }
}

#[test]
fn attention_is_the_softmax_of_products() {
    // Three heads that share a head of keys and values, each seeing what comes before it.
    let whole = vec![
        node("Slice", &["x", "start", "end", "first"], "one", Vec::new()),
        node("Attention", &["x", "one", "one"], "y", vec![int("is_causal", 1)]),
    ];
    let slice = || vec![list("start", &[0]), list("end", &[1]), list("first", &[1])];
    let mut whole = of(whole, slice());
    whole.opset_import[0].version = 23;
    let parts = vec![
        node("Slice", &["x", "start", "end", "first"], "one", Vec::new()),
        node("Transpose", &["one"], "turned", vec![ints("perm", &[0, 1, 3, 2])]),
        node("MatMul", &["x", "turned"], "products", Vec::new()),
        node("Div", &["products", "root"], "scaled", Vec::new()),
        node("Add", &["scaled", "mask"], "scores", Vec::new()),
        node("Softmax", &["scores"], "shares", Vec::new()),
        node("MatMul", &["shares", "one"], "y", Vec::new()),
    ];
    let mask: Vec<f32> = (0..16)
        .map(|at| if at % 4 <= at / 4 { 0.0 } else { f32::NEG_INFINITY })
        .collect();
    let constants = [
        slice(),
        vec![
            numbers_of("root", &[], &[6.0_f32.sqrt()]),
            numbers_of("mask", &[4, 4], &mask),
        ],
    ];
    let (a, kinds) = outputs(&whole);
    let (b, _) = outputs(&of(parts, constants.concat()));
    assert_eq!(kinds, ["Attention"]);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5));
}

fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        floats: floats.to_vec(),
        r#type: AttributeType::Floats as i32,
        ..AttributeProto::default()
    }
}

#[test]
fn a_size_that_is_whole_in_single_precision_is_not_rounded_down() {
    // 3 times 7/3 in single precision is a little less than 7 in double precision.
    let upsample = |scale: f32| {
        let model = of(
            vec![node(
                "Upsample",
                &["x"],
                "y",
                vec![floats("scales", &[1.0, scale, 1.0, 1.0])],
            )],
            Vec::new(),
        );
        imported(&model).unwrap().graph.nodes.last().unwrap().output_shape[0]
    };
    assert_eq!([upsample(7.0 / 3.0), upsample(1.7), upsample(0.3)], [7, 5, 1]);
}

#[test]
fn any_dimension_can_be_resized() {
    let resize = |sizes: &[i64]| {
        let made = node("Resize", &["x", "", "", "sizes"], "y", vec![text("mode", "linear")]);
        of(vec![made], vec![list("sizes", sizes)])
    };
    let channels_last = resize(&[1, 6, 8, 6]);
    let mut fixed = channels_last.clone();
    let input = fixed.graph.as_mut().unwrap().input[0].r#type.as_mut().unwrap();
    input.tensor_type.as_mut().unwrap().shape.as_mut().unwrap().dim[0].dim_value = Some(1);
    assert_eq!(outputs(&fixed).0.len(), 2 * 6 * 8 * 6);
}

/// What a file computes from one row of numbers.
fn of_row(nodes: Vec<NodeProto>, row: &[f32]) -> Vec<f32> {
    let file = file(&[None, Some(1), Some(1), Some(row.len() as i64)], nodes, Vec::new());
    let network = Network::from_import(imported(&file).unwrap(), &Device::Cpu).unwrap();
    let row = Tensor::from_slice(row, &[1, 1, 1, row.len()], &Device::Cpu).unwrap();
    output_of(&network, &row)
}

#[test]
fn numbers_that_are_none_and_infinite_ones_are_found() {
    let of = |attributes: Vec<AttributeProto>, operator: &str| {
        // The logarithms of these are -infinity, NaN, a number and infinity.
        let nodes = vec![
            node("Log", &["x"], "logarithm", Vec::new()),
            node(operator, &["logarithm"], "found", attributes),
            node("Cast", &["found"], "y", vec![int("to", 1)]),
        ];
        of_row(nodes, &[0.0, -1.0, 2.0, f32::INFINITY])
    };
    assert_eq!(of(Vec::new(), "IsNaN"), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(of(Vec::new(), "IsInf"), [1.0, 0.0, 0.0, 1.0]);
    assert_eq!(of(vec![int("detect_negative", 0)], "IsInf"), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(of(vec![int("detect_positive", 0)], "IsInf"), [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_factor_of_a_fused_product_may_have_its_matrices_behind_its_rows() {
    let stack = || vec![numbers("stack", &[6, 3, 5])];
    let fused = NodeProto {
        domain: "com.microsoft".to_owned(),
        ..node("FusedMatMul", &["x", "stack"], "y", vec![int("transBatchB", 1)])
    };
    let turned = node("Transpose", &["stack"], "turned", vec![ints("perm", &[1, 0, 2])]);
    let product = node("MatMul", &["x", "turned"], "y", Vec::new());
    assert_same(&of(vec![fused], stack()), &of(vec![turned, product], stack()));
}

#[test]
fn numbers_and_slices_of_a_constant_are_replaced() {
    let scattered = |indices: TensorProto, updates: TensorProto| {
        let nodes = vec![
            node("ScatterND", &["data", "indices", "updates"], "mask", Vec::new()),
            node("Mul", &["x", "mask"], "y", Vec::new()),
        ];
        let constants = vec![
            numbers_of("data", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            indices,
            updates,
        ];
        file(&[None, Some(1), Some(2), Some(3)], nodes, constants)
    };
    let computed = |model: &ModelProto| {
        let network = Network::from_import(imported(model).unwrap(), &Device::Cpu).unwrap();
        output_of(
            &network,
            &Tensor::ones((1, 1, 2, 3), candle_core::DType::F32, &Device::Cpu).unwrap(),
        )
    };
    let at = |dims: &[i64], indices: &[i64]| TensorProto {
        dims: dims.to_vec(),
        ..list("indices", indices)
    };
    let single = scattered(at(&[2, 2], &[0, 1, -1, -1]), numbers_of("updates", &[2], &[7.0, 8.0]));
    assert_eq!(computed(&single), [1.0, 7.0, 3.0, 4.0, 5.0, 8.0]);
    let row = scattered(at(&[1, 1], &[0]), numbers_of("updates", &[1, 3], &[7.0, 8.0, 9.0]));
    assert_eq!(computed(&row), [7.0, 8.0, 9.0, 4.0, 5.0, 6.0]);
    let outside = scattered(at(&[1, 2], &[0, 3]), numbers_of("updates", &[1], &[7.0]));
    assert!(refusal(&outside).contains("one of its indices is out of range"));
    let few = scattered(at(&[2, 2], &[0, 1, 1, 1]), numbers_of("updates", &[1], &[7.0]));
    assert!(refusal(&few).contains("it does not have an update for each index"));
}
