//! Runs the machine on handwritten pickles and on arbitrary bytes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;

/// A pickle: instructions one after the other, then `STOP`.
fn pickle(parts: &[&[u8]]) -> Vec<u8> {
    [parts.concat(), vec![STOP]].concat()
}

fn refusal(parts: &[&[u8]]) -> String {
    let bytes = pickle(parts);
    match read(&bytes, 0) {
        Ok(_) => "it was read".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// A value as text, with brackets and quotes.
fn shown(values: &Values<'_>, id: Id) -> String {
    let list = |items: &[Id]| items.iter().map(|&id| shown(values, id)).collect::<Vec<_>>().join(" ");
    match values.get(id) {
        Value::None => "None".to_owned(),
        Value::Integer(integer) => integer.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("[{}]", list(items)),
        Value::Tuple(items) => format!("({})", list(items)),
        Value::Dict(pairs) => {
            let pairs = pairs
                .iter()
                .map(|&(key, value)| format!("{}: {}", shown(values, key), shown(values, value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
        }
        Value::Global(global) => format!("{global:?}"),
        Value::Storage(storage) => format!(
            "{}[{}+{}]",
            values.text(storage.key).unwrap(),
            storage.first,
            storage.count
        ),
        Value::Tensor(view) => format!("{} {:?} {:?}", view.element, view.shape, view.strides),
        Value::Unknown { .. } => values.class_name(id).unwrap(),
        Value::Object(object) => {
            let pairs = |pairs: &[(Id, Id)]| {
                let pairs = pairs
                    .iter()
                    .map(|&(key, value)| format!(" {}={}", shown(values, key), shown(values, value)));
                pairs.collect::<String>()
            };
            let class = values.class_name(id).unwrap();
            format!("<{class}{}{}>", pairs(values.attributes(id)), pairs(&object.items))
        }
        Value::Other => "…".to_owned(),
    }
}

fn made(parts: &[&[u8]]) -> String {
    let bytes = pickle(parts);
    let pickle = read(&bytes, 0).unwrap();
    assert_eq!(pickle.end, bytes.len());
    shown(&pickle.values, pickle.root)
}

#[test]
fn every_encoding_of_a_value_is_read() {
    let cases: [(&[u8], &str); 34] = [
        (b"N", "None"),
        (b"I12\n", "12"),
        (b"I01\n", "…"),
        (b"L-5L\n", "-5"),
        (b"L119547037146038801333356L\n", "119547037146038801333356"),
        (b"K\xff", "255"),
        (b"M\x01\x02", "513"),
        (b"J\xfe\xff\xff\xff", "-2"),
        (b"\x8a\x00", "0"),
        (b"\x8a\x01\xff", "-1"),
        (b"\x8b\x02\x00\x00\x00\x00\x80", "-32768"),
        (b"F1.5e3\n", "…"),
        (b"G\x3f\xf0\x00\x00\x00\x00\x00\x00", "…"),
        (b"\x88", "…"),
        (b"S'one'\n", "\"one\""),
        (b"S\"it's\"\n", "\"it's\""),
        (b"U\x02ab", "\"ab\""),
        (b"T\x02\x00\x00\x00ab", "\"ab\""),
        (b"U\x01\xff", "…"),
        (b"Vgr\\u00f6\xdfe\\n\n", "\"größe\\\\n\""),
        (b"X\x03\x00\x00\x00\xe2\x82\xac", "\"€\""),
        (b"\x8c\x01a", "\"a\""),
        (b"\x8d\x01\0\0\0\0\0\0\0a", "\"a\""),
        (b"C\x01a", "…"),
        (b"B\x01\0\0\0a", "…"),
        (b"\x96\x01\0\0\0\0\0\0\0a", "…"),
        (b"]", "[]"),
        (b"(K\x01K\x02l", "[1 2]"),
        (b")", "()"),
        (b"(K\x01(K\x02tt", "(1 (2))"),
        (b"K\x01K\x02K\x03\x87", "(1 2 3)"),
        (b"(U\x01aK\x01U\x01bK\x02d", "{\"a\": 1 \"b\": 2}"),
        (b"\x8f(K\x01K\x02\x90", "[1 2]"),
        (b"(K\x01\x91", "[1]"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(made(&[bytes]), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn memoised_values_are_shared_and_change_everywhere() {
    assert_eq!(made(&[b"]q\x05(h\x05K\x07t0h\x05K\x01a0h\x05"]), "[1]");
    assert_eq!(made(&[b"]p12\n0g12\n"]), "[]");
    assert_eq!(made(&[b"}r\x00\x01\x00\x00j\x00\x01\x00\x00\x86"]), "({} {})");
    assert_eq!(
        made(&[b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x01k\x94}\x94h\x00K\x01sh\x01\x86"]),
        "({\"k\": 1} {\"k\": 1})"
    );
    assert_eq!(made(&[b"K\x012\x86"]), "(1 1)");
    assert_eq!(made(&[b"K\x01(K\x02K\x031"]), "1");
    assert_eq!(made(&[b"K\x01(0"]), "1", "POP also removes a mark");
    assert_eq!(made(&[b"](K\x01K\x02e}(K\x03K\x04u\x86"]), "([1 2] {3: 4})");
}

#[test]
fn the_names_of_a_state_dict_become_plain_data() {
    let storage: &[u8] = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x0ctQ";
    let shape: &[u8] = b"K\x02K\x03K\x04\x86K\x04K\x01\x86";
    assert_eq!(made(&[b"ccollections\nOrderedDict\n)R"]), "{}");
    assert_eq!(
        made(&[b"ccollections\nOrderedDict\n]]K\x01aK\x02aa\x85R}b"]),
        "{1: 2}",
        "as Python 2 wrote it"
    );
    assert_eq!(made(&[b"(icollections\nOrderedDict\n"]), "{}");
    assert_eq!(made(&[b"(ccollections\nOrderedDict\no"]), "{}");
    assert_eq!(made(&[b"U\x0bcollectionsU\x0bOrderedDict\x93)\x81"]), "{}");
    assert_eq!(made(&[b"ctorch\nSize\nK\x01K\x02\x86\x85R"]), "(1 2)");
    assert_eq!(made(&[b"c__builtin__\nset\n]K\x01a\x85R"]), "[1]");
    assert_eq!(made(&[b"cargparse\nNamespace\n)\x81}U\x01aK\x01sb"]), "…");
    assert_eq!(made(&[b"ctorch\nfloat16\n"]), "Dtype(Float16)");
    assert_eq!(made(&[storage]), "0[0+12]");
    assert_eq!(
        made(&[b"ctorch._utils\n_rebuild_tensor\n(", storage, shape, b"tR"]),
        "float32 [3, 4] [4, 1]"
    );
    let tensor: &[u8] = &[b"ctorch._utils\n_rebuild_tensor_v2\n(", storage, shape, b"\x89NtR"].concat();
    assert_eq!(made(&[tensor]), "float32 [3, 4] [4, 1]");
    assert_eq!(
        made(&[b"ctorch._utils\n_rebuild_parameter\n(", tensor, b"\x88NtR"]),
        "float32 [3, 4] [4, 1]"
    );
}

#[test]
fn storages_of_the_gpu_and_parts_of_storages_are_known() {
    let part: &[u8] = b"(U\x07storagectorch.cuda\nHalfStorage\nU\x019U\x06cuda:0K\x0c(U\x018K\x04K\x06ttQ";
    assert_eq!(made(&[part]), "9[4+6]");
}

#[test]
fn what_any_other_name_makes_is_an_object_without_behaviour() {
    let ways: [&[u8]; 5] = [
        b"cos\nsystem\nU\x02ls\x85R",
        b"(U\x02lsios\nsystem\n",
        b"U\x02osU\x06system\x93U\x02ls\x85R",
        b"(cos\nsystem\nU\x02lso",
        b"cos\nsystem\nU\x02ls\x85}\x92",
    ];
    for way in ways {
        assert_eq!(made(&[way]), "<os.system>");
    }
    assert_eq!(made(&[b"cbuiltins\neval\n"]), "builtins.eval");
    assert_eq!(
        made(&[b"ca\nB\n)\x81}U\x01kK\x01sb"]),
        "<a.B \"k\"=1>",
        "its attributes"
    );
    assert_eq!(
        made(&[b"ca\nB\n)\x81}U\x01kK\x01sN\x86b"]),
        "<a.B \"k\"=1>",
        "with slots"
    );
    assert_eq!(made(&[b"ca\nB\n)RU\x01kK\x01s"]), "<a.B \"k\"=1>", "its items");
    assert_eq!(made(&[b"ca\nB\n)RK\x01a"]), "<a.B>", "a kind of list");
    assert_eq!(made(&[b"ca\nB\n)R)R"]), "…", "what an object makes");
    assert_eq!(
        made(&[b"ccollections\ndefaultdict\ncbuiltins\nlist\n\x85RU\x01kK\x01s"]),
        "{\"k\": 1}"
    );
    let long = "a".repeat(100_000);
    assert!(made(&[b"c", long.as_bytes(), b"\nb\n"]).len() < 200);
}

#[test]
fn tensors_and_integers_that_are_stored_in_other_ways_are_skipped() {
    let unknown: &[u8] = b"(U\x07storagectorch\nQInt8Storage\nU\x010U\x03cpuK\x0ctQ";
    assert_eq!(made(&[unknown]), "…");
    assert_eq!(
        made(&[b"ctorch._utils\n_rebuild_tensor_v2\n(", unknown, b"K\0))\x89NtR"]),
        "…"
    );
    assert_eq!(
        made(&[b"ctorch._utils\n_rebuild_parameter\nca\nB\n)R\x88N\x87R"]),
        "<a.B>"
    );
    assert_eq!(
        made(&[b"\x8a\x11aaaaaaaaaaaaaaaaa"]),
        "…",
        "the state of a random generator"
    );
    assert_eq!(made(&[b"L", "9".repeat(60).as_bytes(), b"L\n"]), "…");
    assert_eq!(made(&[b"X\x01\0\0\0\xff"]), "…", "a path");
}

#[test]
fn a_class_with_its_source_is_that_class() {
    let module: &[u8] = b"(U\x06modulectorch.nn.modules.linear\nLinear\nU\x01aU\x01btQ";
    assert_eq!(made(&[module]), "torch.nn.modules.linear.Linear");
}

#[test]
fn only_allowed_names_can_be_called_or_filled() {
    let cases: [(&[u8], &str); 12] = [
        (b"U\x01a)R", "a value is called that is not a name"),
        (b"ctorch\nfloat32\n)R", "a name is called that cannot be called"),
        (
            b"ccollections\nOrderedDict\nK\x01R",
            "the arguments of a call are not a tuple",
        ),
        (
            b"ccollections\nOrderedDict\nK\x01\x85R",
            "neither a dict nor a list of pairs",
        ),
        (
            b"ctorch._utils\n_rebuild_parameter\nK\x01\x85R",
            "a value that is not a tensor",
        ),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)R", "a tensor needs a storage"),
        (b"K\x01K\x02b", "attributes are set on a value that has none"),
        (b"K\x01K\x02a", "appended to a value that is not a list"),
        (b"K\x01K\x02K\x03s", "a key is set in a value that is not a dict"),
        (b"}(K\x01u", "a key without a value"),
        (b"U\x01aQ", "a persistent id does not refer to a storage"),
        (b"\x82\x01", "torch.save never writes instruction 0x82"),
    ];
    for (bytes, expected) in cases {
        let message = refusal(&[bytes]);
        assert!(message.contains(expected), "{} gives {message}", bytes.escape_ascii());
    }
}

#[test]
fn a_malformed_pickle_is_refused_with_the_offset_of_the_error() {
    let cases: [(&[u8], &str); 13] = [
        (b"", "byte 0: 1 bytes should follow, but only 0 do"),
        (b"K", "byte 0: 1 bytes should follow"),
        (
            b"NX\xff\xff\xff\xffab",
            "byte 1: 4294967295 bytes should follow, but only 2 do",
        ),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffab", "bytes should follow"),
        (b"I1", "a line should follow"),
        (b"Ione\n", "a number is malformed"),
        (b"h\x01", "the memo has no entry 1"),
        (b"a", "the stack is empty"),
        (b"t", "there is no mark"),
        (b"K\x01(\x85", "the stack is empty"),
        (b"\x80\x06", "protocol 6"),
        (b"\xf0", "0xf0 is not an instruction"),
        (b".", "the stack is empty"),
    ];
    for (bytes, expected) in cases {
        let error = read(bytes, 0).err().unwrap().to_string();
        assert!(error.contains(expected), "{} gives {error}", bytes.escape_ascii());
    }
}

#[test]
fn deeply_nested_and_cyclic_values_are_read_and_dropped() {
    let deep = [b"]".repeat(300_000), b"a".repeat(299_999)].concat();
    assert!(read(&pickle(&[&deep]), 0).is_ok());
    let deep = [b"N".to_vec(), b"\x85".repeat(900_000)].concat();
    assert!(read(&pickle(&[&deep]), 0).is_ok());
    assert!(read(b"]q\0h\0a.", 0).is_ok(), "a list within itself");
}

#[test]
fn values_marks_and_memo_entries_are_limited() {
    assert!(refusal(&[&b"N".repeat(MAX_VALUES + 1)]).contains("more values than a state dict (the limit is 1000000)"));
    assert!(
        refusal(&[b"N", &b"2".repeat(MAX_VALUES)]).contains("more values"),
        "DUP"
    );
    assert!(
        refusal(&[b"N", &b"\x94".repeat(MAX_VALUES + 1)]).contains("more values"),
        "MEMOIZE"
    );
    assert!(refusal(&[&b"(".repeat(MAX_MARKS + 1)]).contains("nested deeper"));
    let list = [
        b"]q\0(".to_vec(),
        b"NN\x86".repeat(1000),
        b"e0ccollections\nOrderedDict\nq\x01".to_vec(),
    ]
    .concat();
    let copies = b"h\x01h\0\x85R0".repeat(2000);
    assert!(
        refusal(&[&list, &copies, b"N"]).contains("more values"),
        "dicts built from one list again and again"
    );
}

/// Instructions whose arguments are often valid.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        "collections\nOrderedDict\n",
        "torch\nFloatStorage\n",
        "torch\nSize\n",
        "torch._utils\n_rebuild_tensor_v2\n",
        "torch._utils\n_rebuild_tensor_v3\n",
        "torch._utils\n_rebuild_parameter\n",
        "torch._tensor\n_rebuild_from_type_v2\n",
        "torch\nfloat32\n",
        "os\nsystem\n",
    ]);
    prop_oneof![
        8 => any::<u8>().prop_map(|opcode| vec![opcode]),
        8 => prop::sample::select(b"(0122])}Q.Rbaesut\x81\x85\x86\x87\x90\x93\x94od".to_vec()).prop_map(|code| vec![code]),
        4 => (prop::sample::select(b"KhqU".to_vec()), 0..4_u8).prop_map(|(code, byte)| vec![code, byte]),
        3 => names.prop_map(|name| [b"c", name.as_bytes()].concat()),
        2 => Just(b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x0ctQ".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_the_machine_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0..300_usize) {
        drop(read(&bytes, start));
    }

    #[test]
    fn no_instructions_make_the_machine_panic(parts in prop::collection::vec(instruction(), 0..60)) {
        drop(read(&pickle(&[&parts.concat()]), 0));
    }
}
