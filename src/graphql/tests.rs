//! Tests of the schema's crate: its codes, its ids, its costs and its budget.

use async_graphql::{ID, Value, value};

use scv_api::cost::{MAX_COST, page_cost};
use scv_api::error::{ApiError, code};
use scv_api::id::{GlobalId as _, decode_key};
use scv_api::response_budget::{Exceeded, ResponseBudget};
use scv_compute::error::{ComputeError, NodeError, OnnxError, OutputShape};
use scv_domain::id::{LayerId, ModelId, VersionId};
use scv_domain::job::JobStatus;
use scv_memory::{MemoryBudget, MemoryError};
use scv_service::ServiceError;

/// A network that SCV cannot run, and one that was uploaded in a wrong way.
#[test]
fn a_network_with_unsupported_parts_has_a_code_of_its_own() {
    let code_of = |error: OnnxError| ApiError::from(ServiceError::from(ComputeError::from(error))).code();
    let node = || NodeError {
        node: "a".to_owned(),
        operator: "Frobnicate".to_owned(),
        opset: 17,
        domain: String::new(),
        reason: "SCV does not support this operator".to_owned(),
    };
    let shape = || "[1]".to_owned();
    let output = || OutputShape {
        name: "a".to_owned(),
        shape: Some(vec![10]),
    };
    for unsupported in [
        OnnxError::Invalid("function \"f\" calls itself".to_owned()),
        OnnxError::TooOld { found: 6, oldest: 7 },
        OnnxError::TooNew { found: 99, newest: 28 },
        OnnxError::Nodes(vec![node()]),
        OnnxError::Inputs(vec!["a".to_owned(), "b".to_owned()]),
        OnnxError::NoImages {
            input: "a".to_owned(),
            shape: shape(),
        },
        OnnxError::Channels {
            input: "a".to_owned(),
            shape: shape(),
            channels: 4,
        },
        OnnxError::InputType {
            input: "a".to_owned(),
            kind: "string".to_owned(),
        },
    ] {
        assert_eq!(code_of(unsupported.clone()), code::UNSUPPORTED_MODEL, "{unsupported}");
    }
    for fixable in [
        OnnxError::Unreadable("it holds no graph".to_owned()),
        OnnxError::MissingData {
            location: "a.bin".to_owned(),
        },
        OnnxError::Outputs(vec![output(), output()]),
        OnnxError::UnknownOutput {
            wanted: "c".to_owned(),
            known: vec![output()],
        },
        OnnxError::NotAnImage {
            input: "a".to_owned(),
            numbers: 65,
            size: Some([8, 8]),
        },
        OnnxError::Size {
            size: [8, 8],
            fitting: [32, 32],
            errors: vec![node()],
        },
        OnnxError::ConstantOutput("a".to_owned()),
        OnnxError::OpenSize {
            input: "a".to_owned(),
            shape: shape(),
        },
        OnnxError::Mismatch("the size differs".to_owned()),
    ] {
        assert_eq!(code_of(fixable.clone()), code::BAD_USER_INPUT, "{fixable}");
    }
}

#[test]
fn an_object_that_is_missing_is_named_by_the_id_that_the_caller_gave() {
    let error = ApiError::from(ServiceError::not_found("version", VersionId(12)));
    assert_eq!(error.code(), code::NOT_FOUND);
    assert_eq!(error.message(), "there is no version with the id \"VmVyc2lvbjoxMg\"");
    let error = ApiError::from(ServiceError::not_found_by_name("data set", "\"moon\""));
    assert_eq!(error.message(), "there is no data set \"moon\"");
}

#[test]
fn an_id_decodes_to_the_key_it_encodes() {
    assert_eq!(LayerId::decode(&LayerId(7).encode()).ok(), Some(LayerId(7)));
}

#[test]
fn the_error_for_an_id_of_another_type_names_both_types() {
    let error = LayerId::decode(&ModelId(7).encode());
    assert_eq!(
        error.map_err(|error| error.message().to_owned()),
        Err(
            "\"TW9kZWw6Nw\" is the id of a Model, not of a Layer: `Version.layers` returns the ids of layers"
                .to_owned()
        )
    );
}

#[test]
fn the_error_for_an_invalid_id_says_what_an_id_looks_like_and_where_it_comes_from() {
    let error = ModelId::decode(&ID::from("small cnn"));
    assert_eq!(
        error.map_err(|error| error.message().to_owned()),
        Err(
            "\"small cnn\" is not a valid id: ids look like \"TW9kZWw6MQ\", and `model(name:)` returns the id of a \
             model by its name"
                .to_owned()
        )
    );
    let error = decode_key(&ID::from("TW9kZWw")).map_err(|error| error.message().to_owned());
    assert!(
        error
            .as_ref()
            .is_err_and(|message| message.ends_with("in its field `id`")),
        "{error:?}"
    );
}

#[test]
fn the_complexity_of_a_page_is_that_of_its_entries() {
    assert_eq!(page_cost(Some(10), None, 7), 71);
    assert_eq!(page_cost(None, Some(3), 7), 22);
    assert_eq!(page_cost(None, None, 7), 141);
    assert_eq!(page_cost(Some(-1), None, 7), 1);
    assert_eq!(page_cost(Some(i32::MAX), None, 7), 701);
    assert_eq!(page_cost(Some(100), None, usize::MAX), MAX_COST);
}

#[test]
fn the_status_of_a_job_has_the_same_name_in_messages_and_in_the_schema() {
    let schema = scv_api::sdl();
    let (_, rest) = schema.split_once("enum JobStatus {").expect("the schema has it");
    let (values, _) = rest.split_once('}').expect("it ends");
    for status in [
        JobStatus::Queued,
        JobStatus::Running,
        JobStatus::Succeeded,
        JobStatus::Failed,
        JobStatus::Cancelled,
    ] {
        let name = status.name();
        assert!(values.lines().any(|line| line.trim() == name), "{name}: {values}");
    }
}

#[test]
fn a_response_that_uses_the_budget_exactly_does_not_exceed_it() {
    // Four values of 24 bytes, a name of one and a text of four.
    let (whole, value) = (4 * 24 + 1 + 4, value!({ "a": ["text", 1] }));
    let budget = ResponseBudget::new(whole, &MemoryBudget::default());
    budget.count([&value]);
    assert_eq!(budget.reason(), None);
    budget.count([&Value::Null]);
    assert_eq!(budget.reason(), Some(Exceeded::Size));
    let budget = ResponseBudget::new(whole - 1, &MemoryBudget::default());
    budget.count([&value]);
    assert_eq!(budget.reason(), Some(Exceeded::Size));
}

#[test]
fn a_response_is_given_up_when_the_server_has_no_memory_for_it() {
    let [requests, _] = MemoryBudget::shared(4 << 20);
    let text = Value::String("x".repeat(900 << 10));
    let budget = ResponseBudget::new(usize::MAX, &requests);
    budget.count([&text]);
    assert_eq!(budget.reason(), None);
    let other = ResponseBudget::new(usize::MAX, &requests);
    other.count([&text]);
    assert!(matches!(
        other.reason(),
        Some(Exceeded::Memory(MemoryError::Busy { .. }))
    ));
    drop((budget, other));
    let alone = ResponseBudget::new(usize::MAX, &requests);
    alone.count([&text, &text]);
    assert!(matches!(
        alone.reason(),
        Some(Exceeded::Memory(MemoryError::TooLarge { .. }))
    ));
}
