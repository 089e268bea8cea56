//! One notation for the parameters of layers, so that equal layers of blocks and of ONNX files compare as equal.

use serde_json::{Map, Value, json};

use crate::version::Layer;

/// Parameters of blocks that are one number, or a list of one for rows and one for columns.
const PAIRS: [&str; 6] = [
    "kernel_size",
    "stride",
    "padding",
    "output_padding",
    "dilation",
    "output_size",
];

/// The layer with parameters as blocks name and write them, as far as its kind is one of theirs.
pub(super) fn in_terms_of_blocks(layer: &Layer) -> Layer {
    let mut layer = layer.clone();
    if layer.kind == "GlobalAveragePool" {
        (layer.kind, layer.parameters) = ("AdaptiveAvgPool2d".to_owned(), json!({ "output_size": 1 }));
        return layer;
    }
    let Value::Object(parameters) = &layer.parameters else {
        return layer;
    };
    let mut terms = Node {
        layer: &layer,
        attributes: parameters,
    }
    .terms()
    .unwrap_or_else(|| layer.parameters.clone());
    for name in PAIRS {
        if let Some(value) = terms.get_mut(name) {
            *value = shortened(value);
        }
    }
    layer.parameters = terms;
    layer
}

/// A list of two equal numbers as one number.
fn shortened(value: &Value) -> Value {
    match value.as_array().map(Vec::as_slice) {
        Some([rows, columns]) if rows == columns => rows.clone(),
        _ => value.clone(),
    }
}

/// A layer that may be a node of an ONNX file.
struct Node<'a> {
    layer: &'a Layer,
    attributes: &'a Map<String, Value>,
}

impl Node<'_> {
    /// The attributes under the names of blocks, with the defaults of ONNX. `None` for the parameters of a block, and for kinds
    /// that blocks do not have.
    fn terms(&self) -> Option<Value> {
        let is_block = |parameter: &str| self.attributes.contains_key(parameter);
        match self.layer.kind.as_str() {
            "Conv2d" | "ConvTranspose2d" if !is_block("out_channels") => Some(self.convolution()),
            "MaxPool2d" if !is_block("kernel_size") => {
                let mut terms = self.window();
                terms["dilation"] = self.value("dilations", json!([1, 1]));
                terms["ceil_mode"] = self.flag("ceil_mode");
                Some(terms)
            }
            "AvgPool2d" if !is_block("kernel_size") => {
                let mut terms = self.window();
                // Without padding it makes no difference.
                let is_padded = terms["padding"] != json!([0, 0]);
                terms["count_include_pad"] = if is_padded {
                    self.flag("count_include_pad")
                } else {
                    json!(true)
                };
                terms["ceil_mode"] = self.flag("ceil_mode");
                terms["divisor_override"] = Value::Null;
                Some(terms)
            }
            "Linear" if !is_block("out_features") => {
                let [inputs, outputs] =
                    [&self.layer.input_shape, &self.layer.output_shape].map(|shape| shape.last().copied().unwrap_or(0));
                let weights = i64::from(inputs) * i64::from(outputs);
                Some(
                    json!({ "in_features": inputs, "out_features": outputs, "bias": self.layer.parameter_count > weights }),
                )
            }
            "BatchNorm2d" if !is_block("num_features") => Some(json!({
                "num_features": self.layer.input_shape.first(), "eps": self.value("epsilon", json!(1e-5)), "affine": true,
                // They only matter to training.
                "momentum": 0.1, "track_running_stats": true,
            })),
            "Softmax" if !is_block("dim") => {
                let axis = self.value("axis", json!(-1)).as_i64()?;
                let rank = self.layer.input_shape.len() as i64 + 1;
                Some(json!({ "dim": if axis < 0 { axis + rank } else { axis } }))
            }
            "LeakyReLU" if !is_block("negative_slope") => {
                Some(json!({ "negative_slope": self.value("alpha", json!(0.01)) }))
            }
            "ELU" => Some(json!({ "alpha": self.value("alpha", json!(1.0)) })),
            "GELU" => Some(json!({ "approximate": self.value("approximate", json!("none")) })),
            _ => None,
        }
    }

    fn convolution(&self) -> Value {
        let [inputs, outputs] = [&self.layer.input_shape, &self.layer.output_shape]
            .map(|shape| i64::from(shape.first().copied().unwrap_or(0)));
        let groups = self.value("group", json!(1));
        let kernel = self.attributes.get("kernel_shape").and_then(Value::as_array);
        let area: i64 = kernel.into_iter().flatten().filter_map(Value::as_i64).product();
        let weights = inputs * outputs * area / groups.as_i64().unwrap_or(1).max(1);
        let mut terms = self.window();
        terms["dilation"] = self.value("dilations", json!([1, 1]));
        terms["groups"] = groups;
        terms["in_channels"] = json!(inputs);
        terms["out_channels"] = json!(outputs);
        terms["bias"] = json!(self.layer.parameter_count > weights);
        terms["padding_mode"] = json!("zeros");
        if self.layer.kind == "ConvTranspose2d" {
            terms["output_padding"] = self.value("output_padding", json!([0, 0]));
        }
        terms
    }

    fn window(&self) -> Value {
        json!({
            "kernel_size": self.value("kernel_shape", Value::Null),
            "stride": self.value("strides", json!([1, 1])),
            "padding": self.padding(),
        })
    }

    /// Rows and columns if both ends have the same padding, otherwise all four numbers.
    fn padding(&self) -> Value {
        let auto = self.attributes.get("auto_pad").and_then(Value::as_str);
        if let Some(auto @ ("SAME_UPPER" | "SAME_LOWER")) = auto {
            return json!(auto);
        }
        match self.attributes.get("pads").and_then(Value::as_array).map(Vec::as_slice) {
            Some([top, left, bottom, right]) if top == bottom && left == right => json!([top, left]),
            Some(pads) => json!(pads),
            None => json!([0, 0]),
        }
    }

    fn value(&self, name: &str, default: Value) -> Value {
        self.attributes.get(name).cloned().unwrap_or(default)
    }

    fn flag(&self, name: &str) -> Value {
        json!(self.attributes.get(name).and_then(Value::as_i64) == Some(1))
    }
}
