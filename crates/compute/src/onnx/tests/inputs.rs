//! Inputs as networks have them: what the file leaves open, and what is assumed.

use super::*;
use crate::onnx::proto::{DataType, NodeProto, TensorProto};
use scv_domain::input::{InputLayout, InputNote, InputNumber};

const GREY: ImageShape = ImageShape {
    channels: 1,
    height: 6,
    width: 6,
};

const COLOUR: ImageShape = ImageShape { channels: 3, ..GREY };

/// A convolution that reads a value, with what is needed for scores.
fn after(value: &str, channels: i64) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let nodes = vec![
        node("Conv", &[value, "kernel"], "conv", vec![ints("pads", &[1, 1, 1, 1])]),
        node("GlobalAveragePool", &["conv"], "pool", Vec::new()),
        node("Flatten", &["pool"], "scores", Vec::new()),
    ];
    (nodes, vec![numbers("kernel", &[4, channels, 3, 3])])
}

/// A network with nodes before its convolution.
fn with_input(dims: &[Option<i64>], before: Vec<NodeProto>, constants: Vec<TensorProto>, channels: i64) -> ModelProto {
    let value = before.last().map_or("x", |node| node.output[0].as_str()).to_owned();
    let (nodes, kernel) = after(&value, channels);
    file(dims, [before, nodes].concat(), [kernel, constants].concat())
}

fn of_type(mut model: ModelProto, kind: DataType) -> ModelProto {
    let input = &mut model.graph.as_mut().unwrap().input[0];
    input.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = kind as i32;
    model
}

fn without_shape(mut model: ModelProto) -> ModelProto {
    let input = &mut model.graph.as_mut().unwrap().input[0];
    input.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().shape = None;
    model
}

fn for_images(model: &ModelProto, images: ImageShape) -> Result<Imported, OnnxError> {
    let options = ImportOptions {
        images: Some(images),
        ..ImportOptions::default()
    };
    import(model, &options)
}

/// The scores for one image whose numbers are given channel by channel.
fn scores_of(imported: Imported, image: &Tensor) -> Vec<f32> {
    let network = Network::from_import(imported, &Device::Cpu).unwrap();
    let image = network.to_layout(image.clone()).unwrap();
    output_of(&network, &image)
}

fn assert_close(a: &[f32], b: &[f32]) {
    assert!(
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4),
        "{a:?} {b:?}"
    );
}

#[test]
fn what_is_open_comes_from_the_first_convolution_then_from_the_data_set() {
    let open = with_input(&[None; 4], Vec::new(), Vec::new(), 3);
    let found = for_images(&open, GREY).unwrap();
    assert_eq!(found.graph.input_shape, [3, 6, 6]);
    let node = "conv".to_owned();
    assert_eq!(
        found.input.notes,
        [
            InputNote::ChannelsOfConvolution { node, channels: 3 },
            InputNote::SizeOfDataset { size: [6, 6] }
        ]
    );
    let options = ImportOptions {
        size: Some([9, 5]),
        images: Some(GREY),
        ..ImportOptions::default()
    };
    assert_eq!(import(&open, &options).unwrap().graph.input_shape, [3, 9, 5]);
    assert!(matches!(imported(&open), Err(OnnxError::OpenSize { .. })));

    let unknown = without_shape(with_input(&[None; 4], Vec::new(), Vec::new(), 3));
    let found = for_images(&unknown, GREY).unwrap();
    assert_eq!(found.graph.input_shape, [3, 6, 6]);
    assert_eq!(found.input.notes[0], InputNote::UnknownRank);

    // Nothing tells, so the data set does.
    let flattened = file(
        &[None; 4],
        vec![node_of("Flatten"), gemm(36)],
        vec![numbers("weight", &[36, 2])],
    );
    let found = for_images(&flattened, GREY).unwrap();
    assert_eq!(found.graph.input_shape, [1, 6, 6]);
    assert_eq!(found.input.notes[0], InputNote::ChannelsOfDataset { channels: 1 });
}

fn node_of(operator: &str) -> NodeProto {
    node(operator, &["x"], "flat", Vec::new())
}

fn gemm(_: usize) -> NodeProto {
    node("Gemm", &["flat", "weight"], "scores", Vec::new())
}

#[test]
fn the_convolution_is_found_behind_casts_arithmetic_pads_and_transpositions() {
    let before = vec![
        node("Cast", &["x"], "cast", vec![int("to", 1)]),
        node("Sub", &["cast", "mean"], "centred", Vec::new()),
        node("Div", &["centred", "scale"], "scaled", Vec::new()),
        node("Transpose", &["scaled"], "front", vec![ints("perm", &[0, 3, 1, 2])]),
        node("Pad", &["front", "pads"], "padded", Vec::new()),
    ];
    let constants = vec![
        numbers("mean", &[3]),
        numbers("scale", &[3]),
        list("pads", &[0, 0, 1, 1, 0, 0, 1, 1]),
    ];
    let last = with_input(&[None; 4], before, constants, 3);
    let found = for_images(&last, GREY).unwrap();
    assert_eq!(
        (found.graph.input_shape, found.layout),
        (vec![6, 6, 3], Layout::ChannelsLast)
    );
    assert_eq!(found.input.layout, InputLayout::ChannelsLast);
    let arithmetic = InputNote::OwnArithmetic {
        operators: vec!["Sub".to_owned(), "Div".to_owned()],
        scales_pixels: false,
    };
    assert!(found.input.notes.contains(&arithmetic), "{:?}", found.input.notes);
}

#[test]
fn an_image_without_channels_or_without_a_batch_is_read_as_what_it_is() {
    let image = images(1, &[1, 6, 6]);
    let plain = scores_of(
        imported(&with_input(&[None, Some(1), Some(6), Some(6)], vec![], vec![], 1)).unwrap(),
        &image,
    );
    let unsqueezed = |axis: i64| {
        let dims = [if axis == 0 { Some(1) } else { None }, Some(6), Some(6)];
        let nodes = vec![node("Unsqueeze", &["x", "axis"], "whole", Vec::new())];
        imported(&with_input(&dims, nodes, vec![list("axis", &[axis])], 1)).unwrap()
    };
    let grey = unsqueezed(1);
    assert_eq!(
        (grey.graph.input_shape.as_slice(), grey.input.layout),
        (&[1, 6, 6][..], InputLayout::NoChannels)
    );
    assert!(grey.graph.is_batched);
    assert_close(&scores_of(grey, &image), &plain);
    let one = unsqueezed(0);
    assert_eq!(one.input.layout, InputLayout::OneImageChannelsFirst);
    assert!(one.input.notes.contains(&InputNote::NoBatch) && !one.graph.is_batched);
    assert_close(&scores_of(one, &image), &plain);
}

#[test]
fn a_list_of_numbers_is_an_image_of_the_data_set_or_of_the_given_size() {
    let flat = |numbers: i64| {
        let nodes = vec![node("Gemm", &["x", "weight"], "scores", Vec::new())];
        file(
            &[None, Some(numbers)],
            nodes,
            vec![small::numbers("weight", &[numbers, 2])],
        )
    };
    for (numbers, images, shape) in [
        (36, GREY, [1, 6, 6]),
        (108, COLOUR, [3, 6, 6]),
        (36, COLOUR, [1, 6, 6]),
        (108, GREY, [3, 6, 6]),
    ] {
        let found = for_images(&flat(numbers), images).unwrap();
        assert_eq!(
            (found.graph.input_shape.as_slice(), found.input.layout),
            (&shape[..], InputLayout::Flat)
        );
        assert!(found.graph.is_batched);
    }
    let options = ImportOptions {
        size: Some([4, 9]),
        images: Some(GREY),
        ..ImportOptions::default()
    };
    assert_eq!(import(&flat(36), &options).unwrap().graph.input_shape, [1, 4, 9]);
    let text = for_images(&flat(37), GREY).unwrap_err().to_string();
    assert!(
        text.contains("a list of 37 numbers, which images of 6x6 pixels do not have: set `height`"),
        "{text}"
    );
}

#[test]
fn a_network_of_bytes_gets_them_whether_it_converts_them_first_or_later() {
    let image = images(1, &[1, 6, 6]);
    let pixels = ((image * 100.0).unwrap() + 100.0).unwrap().round().unwrap();
    let dims = [None, Some(1), Some(6), Some(6)];
    let float = || node("Cast", &["x"], "float", vec![int("to", 1)]);
    let first = of_type(with_input(&dims, vec![float()], vec![], 1), DataType::Uint8);
    let plain = scores_of(imported(&with_input(&dims, vec![], vec![], 1)).unwrap(), &pixels);
    let found = imported(&first).unwrap();
    assert_eq!(found.input.number_type, InputNumber::Uint8);
    assert_eq!(found.input.notes, [InputNote::WholeNumbers { black: 0 }]);
    assert_close(&scores_of(found, &pixels), &plain);

    // The integers are divided as integers.
    let halved = vec![
        node("Div", &["x", "two"], "half", Vec::new()),
        node("Cast", &["half"], "float", vec![int("to", 1)]),
    ];
    let later = of_type(with_input(&dims, halved, vec![list("two", &[2])], 1), DataType::Int32);
    let whole = (&pixels / 2.0).unwrap().floor().unwrap();
    let plain = scores_of(imported(&with_input(&dims, vec![], vec![], 1)).unwrap(), &whole);
    assert_close(&scores_of(imported(&later).unwrap(), &pixels), &plain);

    let signed = imported(&of_type(with_input(&dims, vec![float()], vec![], 1), DataType::Int8)).unwrap();
    assert_eq!(signed.input.notes, [InputNote::WholeNumbers { black: -128 }]);
    let text = refusal(&of_type(with_input(&dims, vec![float()], vec![], 1), DataType::String));
    assert!(text.contains("holds values of the type string"), "{text}");
}

#[test]
fn an_input_that_nothing_reads_is_ignored_and_others_are_named() {
    let mut model = classifier(None, [0, -1]);
    let graph = model.graph.as_mut().unwrap();
    graph.input.push(output("mask"));
    let names = vec!["mask".to_owned()];
    assert_eq!(
        imported(&model).unwrap().input.notes,
        [InputNote::IgnoredInputs { names }]
    );
    let graph = model.graph.as_mut().unwrap();
    graph.node.push(node("Add", &["scores", "mask"], "sum", Vec::new()));
    let names = vec!["x".to_owned(), "mask".to_owned()];
    assert_eq!(imported(&model).unwrap_err(), OnnxError::Inputs(names));
}

#[test]
fn channels_that_no_image_has_are_named() {
    let text = refusal(&with_input(&[None, Some(4), Some(6), Some(6)], vec![], vec![], 4));
    assert!(
        text.contains("?x4x6x6: it has 4 channels, but images have 1 or 3"),
        "{text}"
    );
    let open = with_input(&[None; 4], vec![], vec![], 12);
    let text = for_images(&open, GREY).unwrap_err().to_string();
    assert!(text.contains("it has 12 channels"), "{text}");
}

#[test]
fn a_size_that_does_not_fit_is_refused_with_one_that_does() {
    // Halved twice and doubled again, a side that is not a multiple of 4 comes back longer.
    let halved = |input: &str, name: &str| {
        let attributes = vec![
            ints("kernel_shape", &[2, 2]),
            ints("strides", &[2, 2]),
            int("ceil_mode", 1),
        ];
        node("MaxPool", &[input], name, attributes)
    };
    let scales = TensorProto {
        float_data: vec![1.0, 1.0, 4.0, 4.0],
        ..numbers("scales", &[4])
    };
    let model = file(
        &[None, Some(1), None, None],
        vec![
            halved("x", "half"),
            halved("half", "quarter"),
            node("Resize", &["quarter", "", "scales"], "whole", Vec::new()),
            node("Add", &["whole", "x"], "scores", Vec::new()),
        ],
        vec![scales],
    );
    let text = for_images(&model, GREY).unwrap_err().to_string();
    assert!(
        text.starts_with("the network does not take images of 6x6 pixels, but of 32x32: set `height` and `width`"),
        "{text}"
    );
    let odd = |size| {
        let options = ImportOptions {
            size: Some(size),
            ..ImportOptions::default()
        };
        import(&model, &options)
    };
    assert!(odd([8, 12]).is_ok());
    let text = odd([40, 33]).unwrap_err().to_string();
    assert!(text.contains("of 40x33 pixels, but of 64x64"), "{text}");
}

#[test]
fn a_trace_takes_numbers_in_the_shape_of_the_files_input() {
    let nodes = vec![node("Gemm", &["x", "weight"], "scores", Vec::new())];
    let model = file(&[None, Some(36)], nodes, vec![numbers("weight", &[36, 2])]);
    let values: Vec<f32> = images(2, &[36]).flatten_all().unwrap().to_vec1().unwrap();
    let input = Numbers {
        shape: vec![2, 36],
        values,
    };
    let traced = trace(for_images(&model, GREY).unwrap(), &input).unwrap();
    assert_eq!(traced[0].numbers.shape, [2, 2]);
}
