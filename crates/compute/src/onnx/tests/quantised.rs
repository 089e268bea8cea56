//! Quantised networks: values that are whole steps of a scale.

use super::small::{bytes_of, numbers_of};
use super::*;
use crate::onnx::proto::{DataType, NodeProto, TensorProto};

/// What a file computes from the numbers of one image.
fn computed(model: &ModelProto, image: &[f32]) -> Vec<f32> {
    let network = Network::from_import(imported(model).unwrap(), &Device::Cpu).unwrap();
    let dims = [&[1], network.graph().input_shape.as_slice()].concat();
    output_of(&network, &Tensor::from_slice(image, dims, &Device::Cpu).unwrap())
}

/// A file for images of one row of `width` numbers.
fn row(width: i64, nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> ModelProto {
    file(&[None, Some(1), Some(1), Some(width)], nodes, constants)
}

#[test]
fn numbers_become_the_nearest_step_and_halves_the_even_one() {
    let nodes = || {
        vec![
            node("QuantizeLinear", &["x", "scale", "zero"], "steps", Vec::new()),
            node("Identity", &["steps"], "y", Vec::new()),
        ]
    };
    let of = |zero: TensorProto, image: &[f32]| {
        let constants = vec![numbers_of("scale", &[], &[2.0]), zero];
        computed(&row(image.len() as i64, nodes(), constants), image)
    };
    let image = [1.0, 3.0, 5.0, -1.0, -3.0, 0.9, 1e9, -1e9];
    let unsigned = of(bytes_of("zero", DataType::Uint8, &[], &[3]), &image);
    assert_eq!(unsigned, [3.0, 5.0, 5.0, 3.0, 1.0, 3.0, 255.0, 0.0]);
    let signed = of(bytes_of("zero", DataType::Int8, &[], &[0xfe]), &image);
    assert_eq!(signed, [-2.0, 0.0, 0.0, -2.0, -4.0, -2.0, 127.0, -128.0]);
    let wide = of(bytes_of("zero", DataType::Uint16, &[], &[0, 1]), &image);
    assert_eq!(wide, [256.0, 258.0, 258.0, 256.0, 254.0, 256.0, 65_535.0, 0.0]);
}

#[test]
fn a_scale_may_be_that_of_each_channel_or_of_blocks() {
    let nodes = |operator: &str, attributes: Vec<_>| {
        vec![
            node(operator, &["weight", "scale", "zero"], "real", attributes),
            node("Mul", &["x", "real"], "y", Vec::new()),
        ]
    };
    let weight = || bytes_of("weight", DataType::Int8, &[1, 4], &[1, 2, 0xff, 0x80]);
    let by_channel = vec![
        weight(),
        numbers_of("scale", &[4], &[1.0, 10.0, 100.0, 0.5]),
        bytes_of("zero", DataType::Int8, &[4], &[0, 1, 0, 0]),
    ];
    let model = row(4, nodes("DequantizeLinear", vec![int("axis", -1)]), by_channel);
    assert_eq!(computed(&model, &[1.0; 4]), [1.0, 10.0, -100.0, -64.0]);
    let by_block = vec![
        weight(),
        numbers_of("scale", &[1, 2], &[1.0, 10.0]),
        bytes_of("zero", DataType::Int8, &[1, 2], &[0, 0]),
    ];
    let attributes = vec![int("axis", 1), int("block_size", 2)];
    let model = row(4, nodes("DequantizeLinear", attributes), by_block);
    assert_eq!(computed(&model, &[1.0; 4]), [1.0, 2.0, -10.0, -1280.0]);
    let misfit = vec![
        weight(),
        numbers_of("scale", &[3], &[1.0; 3]),
        bytes_of("zero", DataType::Int8, &[3], &[0; 3]),
    ];
    let text = refusal(&row(4, nodes("DequantizeLinear", vec![int("axis", 1)]), misfit));
    assert!(
        text.contains("a scale or zero point of shape [3] does not fit"),
        "{text}"
    );
}

/// A quantisation and its inverse, of a value and under another name.
fn pair_of(value: &str, scale: &str, zero: &str) -> Vec<NodeProto> {
    let (steps, real) = (format!("{value}_steps"), format!("{value}_real"));
    vec![
        node("QuantizeLinear", &[value, scale, zero], &steps, Vec::new()),
        node("DequantizeLinear", &[&steps, scale, zero], &real, Vec::new()),
    ]
}

/// A convolution, an activation and a linear layer between pairs of quantisation and its inverse, and a softmax.
fn in_pairs() -> ModelProto {
    let mut nodes = pair_of("x", "fine", "middle");
    nodes.push(node(
        "DequantizeLinear",
        &["kernel", "fine", "none"],
        "weight",
        Vec::new(),
    ));
    nodes.push(node(
        "Conv",
        &["x_real", "weight"],
        "conv",
        vec![ints("pads", &[1, 1, 1, 1])],
    ));
    nodes.push(node("Relu", &["conv"], "relu", Vec::new()));
    nodes.extend(pair_of("relu", "coarse", "middle"));
    nodes.push(node("Flatten", &["relu_real"], "flat", Vec::new()));
    nodes.push(node("Gemm", &["flat", "matrix"], "scores", Vec::new()));
    nodes.push(node("Softmax", &["scores"], "shares", Vec::new()));
    nodes.extend(pair_of("shares", "fine", "middle"));
    let kernel: Vec<u8> = (0..54).map(|place| (place * 29 % 251) as u8).collect();
    let constants = vec![
        numbers_of("fine", &[], &[0.01]),
        numbers_of("coarse", &[], &[0.05]),
        bytes_of("middle", DataType::Uint8, &[], &[120]),
        bytes_of("none", DataType::Int8, &[], &[0]),
        bytes_of("kernel", DataType::Int8, &[2, 3, 3, 3], &kernel),
        numbers("matrix", &[32, 5]),
    ];
    file(&[None, Some(3), Some(4), Some(4)], nodes, constants)
}

#[test]
fn pairs_of_quantisation_and_its_inverse_are_no_layers() {
    let imported = imported(&in_pairs()).unwrap();
    let layers: Vec<_> = imported.graph.layers().map(|(_, node)| node.kind).collect();
    assert_eq!(layers, ["Conv2d", "ReLU", "Linear", "Softmax"]);
    // The weights are those of a layer, and the scores those before the softmax.
    assert_eq!(imported.graph.parameter_count(), 54 + 32 * 5);
    assert_eq!(imported.names[imported.graph.logits.0 - 1], "scores");
    let (network, same) = run(&in_pairs());
    assert!(network.graph().is_batched && same);
}

#[test]
fn a_convolution_of_whole_numbers_is_exact() {
    let names = [
        "x_steps", "half", "zero", "kernel", "scales", "none", "two", "zero", "bias",
    ];
    let nodes = vec![
        node("QuantizeLinear", &["x", "half", "zero"], "x_steps", Vec::new()),
        node("QLinearConv", &names, "conv", vec![ints("kernel_shape", &[1, 2])]),
    ];
    let constants = vec![
        numbers_of("half", &[], &[0.5]),
        numbers_of("two", &[], &[2.0]),
        bytes_of("zero", DataType::Uint8, &[], &[10]),
        bytes_of("kernel", DataType::Int8, &[2, 1, 1, 2], &[3, 0xff, 100, 100]),
        numbers_of("scales", &[2], &[1.0, 4.0]),
        bytes_of("none", DataType::Int8, &[2], &[0, 0]),
        bytes_of("bias", DataType::Int32, &[2], &[7, 0, 0, 0, 0, 0, 0, 0]),
    ];
    let model = row(3, nodes, constants);
    // Steps 2, 4 and 8 above the zero point: sums 3·2 − 4 + 7 = 9 and 3·4 − 8 + 7 = 11, at a quarter of a step each.
    assert_eq!(computed(&model, &[1.0, 2.0, 4.0]), [12.0, 13.0, 255.0, 255.0]);
    let layers = imported(&model).unwrap();
    assert_eq!(
        layers.graph.layers().map(|(_, node)| node.kind).collect::<Vec<_>>(),
        ["Conv2d"]
    );
}

/// A linear layer whose input is quantised by the range of its own numbers, as the dynamic quantiser writes it.
fn dynamic() -> ModelProto {
    let mut quantise = node("DynamicQuantizeLinear", &["flat"], "flat_steps", Vec::new());
    quantise.output.extend(["scale".to_owned(), "zero".to_owned()]);
    let nodes = vec![
        node("Flatten", &["x"], "flat", Vec::new()),
        quantise,
        node(
            "MatMulInteger",
            &["flat_steps", "matrix", "zero", "none"],
            "sums",
            Vec::new(),
        ),
        node("Cast", &["sums"], "whole", vec![int("to", 1)]),
        node("Mul", &["scale", "matrix_scale"], "scales", Vec::new()),
        node("Mul", &["whole", "scales"], "scaled", Vec::new()),
        node("Add", &["scaled", "bias"], "scores", Vec::new()),
    ];
    let matrix: Vec<u8> = (0..48 * 5).map(|place| (place * 29 % 251) as u8).collect();
    let constants = vec![
        bytes_of("matrix", DataType::Int8, &[48, 5], &matrix),
        numbers_of("matrix_scale", &[1], &[0.02]),
        bytes_of("none", DataType::Int8, &[], &[0]),
        numbers("bias", &[5]),
    ];
    file(&[None, Some(3), Some(4), Some(4)], nodes, constants)
}

#[test]
fn the_range_of_an_image_does_not_depend_on_the_batch_that_it_is_in() {
    let (network, same) = run(&dynamic());
    assert!(network.graph().is_batched && same);
    let layers: Vec<_> = network
        .graph()
        .layers()
        .map(|(_, node)| (node.kind, node.path.as_str()))
        .collect();
    assert_eq!(layers, [("MatMul", "scaled")]);
    let image = images(1, &[3, 4, 4]);
    let close = output_of(&network, &image);
    let exact: Vec<f32> = {
        let mut model = dynamic();
        let nodes = &mut model.graph.as_mut().unwrap().node;
        nodes[1] = node(
            "DequantizeLinear",
            &["matrix", "matrix_scale", "none"],
            "weight",
            Vec::new(),
        );
        nodes[2] = node("MatMul", &["flat", "weight"], "scaled", Vec::new());
        nodes.drain(3..6);
        output_of(&run(&model).0, &image)
    };
    for (close, exact) in close.iter().zip(&exact) {
        assert!((close - exact).abs() < 0.05 && close != exact, "{close} and {exact}");
    }
    // An image of zeros has no range.
    let blank = output_of(&network, &image.zeros_like().unwrap());
    assert!(blank.iter().all(|number| number.is_finite()));
}

#[test]
fn operators_of_the_runtime_compute_with_what_steps_stand_for() {
    let of_runtime = |operator: &str, inputs: &[&str], name: &str| NodeProto {
        domain: "com.microsoft".to_owned(),
        ..node(operator, inputs, name, Vec::new())
    };
    let nodes = vec![
        node("QuantizeLinear", &["x", "half", "zero"], "a", Vec::new()),
        of_runtime(
            "QLinearAdd",
            &["a", "half", "zero", "a", "half", "zero", "one", "zero"],
            "sum",
        ),
        of_runtime(
            "QLinearMul",
            &["sum", "one", "zero", "a", "half", "zero", "one", "zero"],
            "product",
        ),
        of_runtime(
            "QLinearConcat",
            &["one", "zero", "sum", "one", "zero", "product", "one", "zero"],
            "both",
        ),
        node("DequantizeLinear", &["both", "one", "zero"], "y", Vec::new()),
    ];
    let mut join = nodes;
    join[3].attribute.push(int("axis", 3));
    let constants = vec![
        numbers_of("half", &[], &[0.5]),
        numbers_of("one", &[], &[1.0]),
        bytes_of("zero", DataType::Uint8, &[], &[100]),
    ];
    let model = row(3, join, constants);
    assert_eq!(computed(&model, &[0.5, -1.5, 3.2]), [1.0, -3.0, 6.0, 0.0, 4.0, 18.0]);
    let imported = imported(&model).unwrap();
    let layers: Vec<_> = imported.graph.layers().map(|(_, node)| node.kind).collect();
    assert_eq!(layers, ["Add", "Mul", "Concat"]);
    let unknown = row(3, vec![of_runtime("Celebrate", &["x"], "y")], Vec::new());
    assert!(refusal(&unknown).contains("SCV does not support this operator"));
}

#[test]
fn a_quantised_mean_may_have_its_channels_last() {
    let mean = |last: bool| {
        let pooled = NodeProto {
            domain: "com.microsoft".to_owned(),
            ..node(
                "QLinearGlobalAveragePool",
                &["a", "one", "zero", "one", "zero"],
                "mean",
                vec![int("channels_last", i64::from(last))],
            )
        };
        let nodes = vec![
            node("QuantizeLinear", &["x", "one", "zero"], "a", Vec::new()),
            pooled,
            node("DequantizeLinear", &["mean", "one", "zero"], "y", Vec::new()),
        ];
        let constants = vec![
            numbers_of("one", &[], &[1.0]),
            bytes_of("zero", DataType::Uint8, &[], &[0]),
        ];
        let model = file(&[None, Some(1), Some(2), Some(3)], nodes, constants);
        computed(&model, &[1.0, 2.0, 3.0, 5.0, 6.0, 7.0])
    };
    assert_eq!(mean(false), [4.0]);
    assert_eq!(mean(true), [3.0, 4.0, 5.0]);
}

#[test]
fn a_zero_point_whose_range_is_not_known_is_refused() {
    let nodes = vec![
        node("Floor", &["guess"], "zero", Vec::new()),
        node("QuantizeLinear", &["x", "half", "zero"], "y", Vec::new()),
    ];
    let constants = vec![numbers_of("half", &[], &[0.5]), numbers_of("guess", &[], &[1.0])];
    let reason = refusal(&row(3, nodes, constants));
    assert!(
        reason.contains("the element type of its zero point is not known"),
        "{reason}"
    );
}
