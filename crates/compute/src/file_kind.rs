//! What a file that cannot be read looks like, so that an error says which file was probably uploaded by mistake.

use std::io::Cursor;

use zip::ZipArchive;

use crate::pytorch::is_pytorch;

/// Entries of an archive that is looked into.
const MAX_ZIP_ENTRIES: usize = 10_000;

/// How many bytes or characters of an unknown file an error repeats.
const MAX_SHOWN: usize = 16;

/// What [`recognised`] returns for an ONNX file.
pub(crate) const ONNX: &str = "an ONNX file";

// And for files of networks in other formats.
pub(crate) const PYTORCH: &str = "a PyTorch file";
pub(crate) const TORCHSCRIPT: &str = "a TorchScript file";
pub(crate) const EXPORTED_PROGRAM: &str = "a program of torch.export";
pub(crate) const ONNX_RUNTIME: &str = "a file in the ORT format of ONNX Runtime";
pub(crate) const PICKLE: &str = "a pickle that was not written by torch.save";
pub(crate) const SAFETENSORS: &str = "a safetensors file";
pub(crate) const HDF5: &str = "an HDF5 file, as TensorFlow and Keras write them";
pub(crate) const KERAS: &str = "an archive of Keras";
pub(crate) const TFLITE: &str = "a TensorFlow Lite file";
pub(crate) const SAVED_MODEL: &str = "a SavedModel of TensorFlow";
pub(crate) const TENSORRT: &str = "an engine of TensorRT";
pub(crate) const OPENVINO: &str = "a network of OpenVINO";
pub(crate) const CORE_ML: &str = "a package of Core ML";

/// How many bytes of a SavedModel are looked through for the tag of the network that serves.
const SAVED_MODEL_HEAD_BYTES: usize = 1 << 20;

/// The first bytes of formats that are often confused with others, and what the file is.
const MAGICS: [(&[u8], &str); 8] = [
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer; download the file itself with git lfs pull",
    ),
    (b"\x89HDF\r\n\x1a\n", HDF5),
    (b"ftrt", TENSORRT),
    (b"ptrt", TENSORRT),
    (b"\x93NUMPY", "a .npy file of NumPy"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"GGUF", "a GGUF file of a language model"),
    (b"%PDF-", "a PDF document"),
];

/// What a file is, such as `an HTML page`; `None` for a format that is not among those often confused.
pub(crate) fn recognised(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("empty");
    }
    if let Some((_, kind)) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(*kind);
    }
    match bytes {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(kind_of_zip(bytes)),
        // Protocol 2 and later of Python's pickles.
        [0x80, 2..=5, ..] if is_pytorch(bytes) => Some(PYTORCH),
        [0x80, 2..=5, ..] => Some(PICKLE),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => Some(TFLITE),
        [_, _, _, _, b'O', b'R', b'T', b'M', ..] => Some(ONNX_RUNTIME),
        // The length of the header, which is JSON.
        [_, _, _, _, _, 0, 0, 0, b'{', b'"', ..] => Some(SAFETENSORS),
        [0x08, 1, 0x12, ..] if is_saved_model(bytes) => Some(SAVED_MODEL),
        // The version of the format, followed by the name of the producer.
        [0x08, 1..=20, 0x12, ..] => Some(ONNX),
        _ if is_openvino(bytes) => Some(OPENVINO),
        _ if is_html(bytes) => Some("an HTML page; the download may have needed a login"),
        _ => None,
    }
}

/// Why a file cannot be read. A file that is recognised as something else needs no `reason`; that of an unknown file is
/// followed by the bytes that the file begins with.
pub(crate) fn explained(bytes: &[u8], reason: String) -> String {
    match recognised(bytes) {
        Some(kind) => format!("the file is {kind}"),
        None => format!("{reason}; the file begins with {}", beginning(bytes)),
    }
}

/// The beginning of a record in the directory of a zip archive.
pub(crate) const ZIP_RECORD_MAGIC: [u8; 4] = *b"PK\x01\x02";

/// How many records the directory of an archive can have. They are counted before the archive is opened, because the list of
/// a million entries would take more memory than their file.
pub(crate) fn count_zip_records(bytes: &[u8]) -> usize {
    bytes.windows(4).filter(|&four| four == ZIP_RECORD_MAGIC).count()
}

fn kind_of_zip(bytes: &[u8]) -> &'static str {
    if count_zip_records(bytes) > MAX_ZIP_ENTRIES {
        return "a zip archive with too many entries";
    }
    let Ok(archive) = ZipArchive::new(Cursor::new(bytes)) else {
        return "a zip archive that is damaged or incomplete";
    };
    let has = |ending: &[u8]| archive.file_names_raw().any(|name| name.ends_with(ending));
    let has_folder = |part: &[u8]| {
        archive
            .file_names_raw()
            .any(|name| name.windows(part.len()).any(|found| found == part))
    };
    if has(b".onnx") {
        "a zip archive of an ONNX file"
    } else if has(b"data.pkl") && has(b"constants.pkl") && has_folder(b"/code/") {
        TORCHSCRIPT
    } else if has(b"data.pkl") {
        PYTORCH
    } else if has(b"archive_format") && has_folder(b"/models/") {
        EXPORTED_PROGRAM
    } else if has(b"model.weights.h5") {
        KERAS
    } else if has(b"saved_model.pb") {
        SAVED_MODEL
    } else if has_folder(b".mlpackage/") {
        CORE_ML
    } else if has(b".npy") {
        "a .npz archive of NumPy"
    } else {
        "a zip archive without the data.pkl of a PyTorch file"
    }
}

/// Whether a file begins as a SavedModel does, with its only version, and has the tag of a network that serves.
fn is_saved_model(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(SAVED_MODEL_HEAD_BYTES)];
    head.windows(7).any(|part| part == b"\x22\x05serve")
}

fn is_openvino(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    let is_xml = text.starts_with(b"<?xml") || text.starts_with(b"<net ");
    is_xml && text[..text.len().min(200)].windows(5).any(|part| part == b"<net ")
}

fn is_html(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    let begins_with = |tag: &str| {
        text.get(..tag.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
    };
    begins_with("<!doctype html") || begins_with("<html")
}

/// The first bytes of a file, as text if they are.
fn beginning(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(MAX_SHOWN)];
    let is_text = start
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if is_text {
        return format!("the text {:?}", String::from_utf8_lossy(start));
    }
    let shown: Vec<String> = start.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("the bytes {}", shown.join(" "))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zip_of(names: &[&str]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(b"content").unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_file_of_another_format_is_recognised() {
        for (bytes, kind) in [
            (vec![], "empty"),
            (b"\n <!DOCTYPE HTML><title>Sign in".to_vec(), "an HTML page"),
            (b"<html lang=en>".to_vec(), "an HTML page"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a".to_vec(),
                "a Git LFS pointer",
            ),
            (
                b"\x89HDF\r\n\x1a\n\0\0".to_vec(),
                "an HDF5 file, as TensorFlow and Keras",
            ),
            (
                b"\x80\x04\x95\x1a\0".to_vec(),
                "a pickle that was not written by torch.save",
            ),
            (b"\x08\x08\x12\x07pytorch".to_vec(), "an ONNX file"),
            (b"\x1f\x8b\x08\0".to_vec(), "a gzip archive"),
            (zip_of(&["net/data.pkl"]), "a PyTorch file"),
            (
                zip_of(&[
                    "net/archive_format",
                    "net/models/model.json",
                    "net/data/weights/weight_0",
                ]),
                "a program of torch.export",
            ),
            (b"\x14\0\0\0ORTM\x0c\0".to_vec(), "a file in the ORT format"),
            (zip_of(&["config.json", "model.weights.h5"]), "an archive of Keras"),
            (zip_of(&["layer.npy"]), "a .npz archive of NumPy"),
            (zip_of(&["net.onnx"]), "a zip archive of an ONNX file"),
            (zip_of(&["readme.txt"]), "a zip archive without the data.pkl"),
            (
                zip_of(&["net/data.pkl"])[..40].to_vec(),
                "a zip archive that is damaged",
            ),
        ] {
            let found = recognised(&bytes).unwrap_or_default();
            assert!(found.starts_with(kind), "{found:?} is not {kind:?}");
        }
    }

    #[test]
    fn an_unknown_file_is_described_by_its_first_bytes() {
        assert_eq!(
            explained(b"epoch,loss\n1,0.5\n2,0.25\n", "it has no header".to_owned()),
            "it has no header; the file begins with the text \"epoch,loss\\n1,0.5\""
        );
        assert_eq!(
            explained(&[0xff, 0, 0x7f], "it has no header".to_owned()),
            "it has no header; the file begins with the bytes ff 00 7f"
        );
        assert_eq!(
            explained(b"<html>", "it has no header".to_owned()),
            "the file is an HTML page; the download may have needed a login"
        );
    }
}
