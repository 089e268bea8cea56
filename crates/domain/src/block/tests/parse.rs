//! Files that are not lists of blocks.

use super::*;
use crate::block::{ParseError, parse};

/// The error of a file.
fn refusal(json: &[u8]) -> String {
    parse(json).unwrap_err().to_string()
}

#[test]
fn a_list_of_blocks_is_read() {
    let json = br#"[{"kind": "Residual", "main": [{"kind": "ReLU"}]}, {"kind": "Flatten", "parameters": {}}]"#;
    let read = parse(json).unwrap();
    assert_eq!(read[0].main.as_ref().unwrap()[0].kind, "ReLU");
    assert_eq!(read[1].kind, "Flatten");
    assert_eq!(
        parse(&[b"\xef\xbb\xbf".as_slice(), json.as_slice()].concat()).unwrap(),
        read
    );
}

#[test]
fn the_errors_of_all_blocks_are_reported_together() {
    let json = br#"[
        {"kind": "ReLU", "inplace": true},
        {"kind": "Conv2d", "parameters": {"out_channels": 8, "kernel_size": "3", "dilatoin": 2}},
        {"kind": "MaxPool2d", "paramters": {"kernel_size": 2}},
        {"kind": "Conv2d", "out_channels": 8, "kernel_size": 0},
        {"kind": "Residual", "main": [{"kind": "Dropout", "parameters": [0.5]}, "ReLU"], "shortcut": {}},
        {"sort": "Flatten"},
        {"kind": 3}
    ]"#;
    let refusal = refusal(json);
    let lines: Vec<&str> = refusal.lines().collect();
    let expected = [
        (
            "block 0 (ReLU): ",
            "`inplace` is a parameter of ReLU; write it in `parameters`.",
        ),
        (
            "block 1 (Conv2d): ",
            "has no parameter `dilatoin`; did you mean `dilation`?",
        ),
        (
            "block 1 (Conv2d): ",
            "`kernel_size` of Conv2d must be an integer from 1 to 65536, or a list of 2 of them; it is \"3\".",
        ),
        (
            "block 2 (MaxPool2d): ",
            "has no key `paramters`; did you mean `parameters`? Its keys are `kind`, `parameters`, and its parameters \
             are kernel_size, ",
        ),
        (
            "block 3 (Conv2d): ",
            "`kernel_size` is a parameter of Conv2d; write it in `parameters`.",
        ),
        (
            "block 3 (Conv2d): ",
            "`out_channels` is a parameter of Conv2d; write it in `parameters`.",
        ),
        (
            "block 3 (Conv2d): ",
            "`kernel_size` of Conv2d must be an integer from 1 to 65536",
        ),
        ("block 4 (Residual): ", "`shortcut` must be a list of blocks; it is {}."),
        (
            "block 4.main.0 (Dropout): ",
            "`parameters` must be an object such as {\"bias\": false}; it is [0.5].",
        ),
        (
            "block 4.main.1: ",
            "A block must be an object such as {\"kind\": \"Flatten\"}; it is \"ReLU\".",
        ),
        (
            "block 5: ",
            "The block has no `kind`; write it as in {\"kind\": \"Flatten\"}.",
        ),
        (
            "block 5: ",
            "A block has no key `sort`; its keys are `kind`, `parameters`, `main`, `shortcut`.",
        ),
        ("block 6: ", "`kind` must be a string such as \"Flatten\"; it is 3."),
    ];
    assert_eq!(lines.len(), expected.len(), "{refusal}");
    for (line, (place, problem)) in lines.into_iter().zip(expected) {
        assert!(line.starts_with(place) && line.contains(problem), "{line}");
    }
}

#[test]
fn what_a_misspelt_key_may_have_meant_is_not_reported_as_missing() {
    for (json, problem) in [
        (
            r#"[{"kind": "Linear", "params": {"out_features": 10}}]"#,
            "block 0 (Linear): Linear has no key `params`; its keys are `kind`, `parameters`, and its parameters are",
        ),
        (
            r#"[{"kind": "Linear", "features": 10}]"#,
            "block 0 (Linear): Linear has no key `features`",
        ),
        (
            r#"[{"kinds": "Linear"}]"#,
            "block 0: A block has no key `kinds`; did you mean `kind`?",
        ),
        (
            r#"[{"kind": "Residual", "mian": [{"kind": "ReLU"}]}]"#,
            "block 0 (Residual): Residual has no key `mian`",
        ),
    ] {
        let refusal = refusal(json.as_bytes());
        assert!(refusal.starts_with(problem), "{refusal}");
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
}

#[test]
fn a_residual_without_blocks_is_reported_next_to_other_errors() {
    let json = br#"[{"kind": "Residual"}, {"kind": "Residual", "main": []}, {"kind": "ReLU", "main": []}, 7]"#;
    let Err(ParseError::Blocks(errors)) = parse(json) else {
        panic!("the last block is not an object")
    };
    let found: Vec<_> = errors
        .iter()
        .map(|error| (error.path.as_str(), error.rule, error.parameter.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("0", ErrorRule::MissingParameter, Some("main")),
            ("1", ErrorRule::Empty, Some("main")),
            ("2", ErrorRule::UnknownParameter, Some("main")),
            ("3", ErrorRule::WrongType, None),
        ]
    );
}

#[test]
fn a_syntax_error_has_its_place_and_what_was_found_and_expected() {
    for (json, error) in [
        ("[nil]", "line 1, column 2: found `nil`, expected true, false or null"),
        (
            "[{\"kind\": \"Re\tLU\"}]",
            "line 1, column 14: found the character '\\t', expected the closing quote of a string, or",
        ),
        ("", "it is empty"),
        (" \n", "it is empty"),
        (
            "[{\"kind\": \"ReLU\"},\n {\"kind\": \"ReLU\"\n",
            "line 2, column 17: found the end of the file, expected `,` or `}`",
        ),
        (
            "[{\"kind\": \"ReLU\"},",
            "line 1, column 19: found the end of the file, expected a value: a string in double quotes",
        ),
        (
            "[{\"kind\": \"Re",
            "line 1, column 14: found the end of the file, expected the closing quote of a string",
        ),
        (
            "[{\"kind\": \"ReLU\"}\n {\"kind\": \"Flatten\"}]",
            "line 2, column 2: found `{`, expected `,` or `]`",
        ),
        (
            "[\n  {\"kind\": \"ReLU\"},\n]",
            "line 3, column 1: found `]`, expected another entry after the comma",
        ),
        (
            "[{kind: \"ReLU\"}]",
            "line 1, column 3: found `kind`, expected a key in double quotes",
        ),
        (
            "[{\"kind\" \"ReLU\"}]",
            "line 1, column 10: found `\"`, expected `:` after a key",
        ),
        (
            "[{\"kind\": 'ReLU'}]",
            "line 1, column 11: found `'`, expected a value: a string in double quotes",
        ),
        (
            "[{\"kind\": \"Conv2d\", \"parameters\": {\"bias\": False}}]",
            "line 1, column 44: found `False`, expected a value: a string in double quotes, a number, true, false",
        ),
        (
            "[{\"kind\": \"Flatten\"}] ]",
            "line 1, column 23: found `]`, expected the end of the file after the list",
        ),
        (
            "{\"kind\": \"ReLU\"}",
            "it must be a list such as [{\"kind\": \"Flatten\"}]; it is {\"kind\":\"ReLU\"}",
        ),
        (
            "[{\"kind\": \"ReLU\",\n  \"kind\": \"GELU\"}]",
            "line 2, column 8: a block has a second key `kind`",
        ),
    ] {
        let refusal = refusal(json.as_bytes());
        assert!(refusal.starts_with(error), "{json}: {refusal}");
    }
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_with_the_line() {
    assert_eq!(
        refusal(b"[{\"kind\":\n\"Fl\xe4che\"}]"),
        "line 2 has the byte 0xe4, which is not UTF-8 text; save it as UTF-8"
    );
    assert_eq!(refusal(b"\xff\xfe[\0"), "it is UTF-16 text; save it as UTF-8");
}
