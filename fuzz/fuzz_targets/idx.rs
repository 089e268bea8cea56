//! Data sets as IDX files. The first byte says where the labels end and the images begin.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scv_dataset::{ImportError, read};
use scv_domain::dataset::DatasetName;
use scv_domain::dataset_source::{DatasetSource, IdxFiles, IdxImport};

fuzz_target!(|data: &[u8]| {
    let Some((&split, rest)) = data.split_first() else {
        return;
    };
    let (labels, images) = rest.split_at(rest.len().min(split.into()));
    let Ok(name) = DatasetName::try_from("fuzz".to_owned()) else {
        return;
    };
    let import = IdxImport {
        name,
        class_names: None,
        first_label: u16::from(split % 2),
        allow_empty_classes: split % 3 == 0,
        transposed: split % 4 > 1,
        statistics: None,
        files: IdxFiles {
            train_images: images.to_vec().into(),
            train_labels: labels.to_vec().into(),
            test_images: images.to_vec().into(),
            test_labels: labels.to_vec().into(),
        },
    };
    let _ = read(DatasetSource::Idx(Box::new(import)), |_| Ok::<_, ImportError>(()));
});
