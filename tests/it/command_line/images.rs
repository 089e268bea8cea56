//! Evaluating, predicting and visualizing.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::{ask, document, error, file, stderr, text, training};
use crate::support::insight;
use crate::support::networks::small_cnn;
use crate::support::server::Server;

/// A server with the trained model `a`, and a folder with a drawing and a place for pictures.
struct Studio {
    server: Server,
    folder: TempDir,
    blocks: String,
    drawing: String,
}

impl Studio {
    async fn open() -> Self {
        let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
        let blocks = file(folder.path(), "cnn.json", small_cnn().to_string());
        document(&server, &training("a", &blocks, "1")).await;
        let image = image::RgbImage::from_fn(8, 8, |x, _| image::Rgb(if x == 4 { [255; 3] } else { [0; 3] }));
        let drawing = file(
            folder.path(),
            "one.png",
            insight::encode_image(&image, image::ImageFormat::Png),
        );
        Self {
            server,
            folder,
            blocks,
            drawing,
        }
    }

    fn pictures(&self) -> String {
        self.folder.path().join("seen").to_str().unwrap().to_owned()
    }
}

/// The PNG files of a folder.
fn pngs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "png"))
        .collect()
}

#[tokio::test]
async fn a_private_model_stays_private() {
    let studio = Studio::open().await;
    let (server, blocks) = (&studio.server, &studio.blocks);
    let hidden = [&training("a", blocks, "1")[..], &["--private"]].concat();
    let message = error(server, 1, &hidden).await;
    assert!(
        message.contains("already exists and is public") && message.contains("scv model visibility a private"),
        "{message}"
    );
    let hidden = [&training("b", blocks, "1")[..], &["--private"]].concat();
    document(server, &hidden).await;
    let model = server
        .api
        .data("{ model(name: \"b\") { visibility } }", json!({}))
        .await;
    assert_eq!(model["model"]["visibility"], "PRIVATE");
    let model = document(server, &["model", "visibility", "b", "public"]).await;
    assert_eq!(model["visibility"], "PUBLIC");
    studio.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_version_is_evaluated() {
    let studio = Studio::open().await;
    let (server, seen) = (&studio.server, studio.pictures());
    let evaluation = document(server, &["evaluate", "a", "--output-dir", &seen]).await;
    let evaluation = &evaluation["evaluation"];
    assert_eq!(evaluation["imageCount"], 355);
    assert_eq!(evaluation["classes"].as_array().unwrap().len(), 10);
    let listed = text(server, &["evaluate", "a", "--output-dir", &seen]).await;
    let first = &evaluation["mistakes"]["nodes"][0];
    let line = listed.lines().find(|line| line.contains("mistake-01.png")).unwrap();
    let named = [&first["actual"]["name"], &first["predicted"]["name"]].map(|name| name.as_str().unwrap());
    assert!(named.iter().all(|name| line.contains(name)), "{line}");
    let table = text(server, &["evaluate", "a:1"]).await;
    assert!(
        table.contains("precision") && table.contains("355 test images"),
        "{table}"
    );
    assert!(
        table.contains("top-5 accuracy") && table.contains("predicted"),
        "{table}"
    );
    studio.server.stop().await.unwrap();
}

#[tokio::test]
async fn an_image_is_classified() {
    let studio = Studio::open().await;
    let (server, seen, png) = (&studio.server, studio.pictures(), &studio.drawing);
    let prediction = document(server, &["predict", "a", png]).await;
    let probabilities = prediction["predictions"].as_array().unwrap().iter();
    let sum: f64 = probabilities.map(|class| class["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{prediction:#}");
    let output = text(server, &["predict", "a", png, "--invert", "no", "--output-dir", &seen]).await;
    assert!(
        output.contains("converted to greyscale") && output.contains("5 less likely classes not shown"),
        "{output}"
    );
    let picture = Path::new(&seen).join("a-1-one-png-prepared-not-inverted.png");
    assert_eq!(image::open(&picture).unwrap().width(), 112);
    assert!(output.contains(picture.to_str().unwrap()), "{output}");
    let no_image = file(studio.folder.path(), "notes.txt", "no image");
    let message = error(server, 1, &["predict", "a", &no_image]).await;
    assert!(
        message.contains("PNG or JPEG") && !message.contains("BAD_USER_INPUT"),
        "{message}"
    );
    assert!(message.contains(&no_image), "{message}");
    let message = error(server, 1, &["predict", "a", "/nowhere/one.png"]).await;
    assert_eq!(
        message,
        "error: cannot read /nowhere/one.png: No such file or directory\n"
    );
    studio.server.stop().await.unwrap();
}

#[tokio::test]
async fn pictures_of_several_methods_lie_side_by_side() {
    let studio = Studio::open().await;
    let (server, seen) = (&studio.server, studio.pictures());
    let synthesis = ["visualize", "a", "--class", "3", "--steps", "2", "--output-dir", &seen];
    document(server, &synthesis).await;
    let layer = ["visualize", "a", "--layer", "0", "--channel", "0", "--image", "7"];
    document(server, &[&layer[..], &["--output-dir", &seen]].concat()).await;
    let pictures = pngs(Path::new(&seen));
    assert!(pictures.len() >= 3, "{pictures:?}");
    for picture in pictures {
        assert!(image::open(&picture).unwrap().width() > 0, "{}", picture.display());
    }
    for method in [
        ["--method", "gradient", "--class", "3"],
        ["--method", "smooth-grad", "--class", "3"],
        ["--method", "gradient", "--class", "4"],
    ] {
        let image = ["visualize", "a", "--image", "7", "--output-dir", &seen];
        let output = text(server, &[&image[..], &method].concat()).await;
        assert!(
            output.contains("-overlay.png") && !output.contains("http://"),
            "{output}"
        );
    }
    for name in [
        "class-3-input-gradient",
        "class-3-smooth-grad",
        "class-4-input-gradient",
    ] {
        let path = Path::new(&seen).join(format!("a-1-test-image-7-{name}.png"));
        assert!(path.exists(), "{}", path.display());
    }
    studio.server.stop().await.unwrap();
}

#[tokio::test]
async fn an_image_is_attributed_and_mapped() {
    let studio = Studio::open().await;
    let (server, png) = (&studio.server, &studio.drawing);
    let both = text(
        server,
        &["visualize", "a", "--class", "3", "--layer", "0", "--image", "7"],
    )
    .await;
    assert!(
        both.contains("test image 7 (class ") && both.contains("class 3: probability "),
        "{both}"
    );
    assert!(both.contains("http://127.0.0.1") && both.contains("/images/"), "{both}");
    let only_image = document(server, &["visualize", "a", "--image", "7"]).await;
    assert_eq!(only_image["targets"], json!([]));
    let cam = ["visualize", "a", "--file", png, "--method", "grad-cam"];
    assert!(error(server, 2, &cam).await.contains("give one with --layer"));
    let cam = text(server, &[&cam[..], &["--layer", "0"]].concat()).await;
    assert!(
        cam.contains("attribution by grad cam (yellow supports the class most)"),
        "{cam}"
    );
    assert!(
        cam.contains("one.png: http") && cam.contains("preprocessing: converted to greyscale"),
        "{cam}"
    );
    let maps = text(server, &["visualize", "a", "--file", png, "--layer", "0"]).await;
    assert!(
        maps.contains("feature maps, from dark violet") && !maps.contains("logit"),
        "{maps}"
    );
    let of_what = error(server, 2, &["visualize", "a", "--method", "gradient"]).await;
    assert!(of_what.contains("give one with --image or --file"), "{of_what}");
    let beyond = error(server, 3, &["visualize", "a", "--image", "355"]).await;
    assert!(beyond.contains("has images 0 to 354"), "{beyond}");
    studio.server.stop().await.unwrap();
}

#[tokio::test]
async fn images_are_synthesized_for_parts_of_a_network() {
    let studio = Studio::open().await;
    let server = &studio.server;
    let neuron = [
        "visualize",
        "a",
        "--layer",
        "0",
        "--channel",
        "1",
        "--row",
        "2",
        "--column",
        "3",
    ];
    let neuron = document(server, &[&neuron[..], &["--steps", "2", "--padding", "edge"]].concat()).await;
    assert_eq!(neuron["targets"][0]["target"], "layer 0, channel 1, row 2, column 3");
    let class = text(server, &["visualize", "a", "--class", "3", "--steps", "2"]).await;
    assert!(class.contains("its activation"), "{class}");

    let negative = ask(server, &["visualize", "a", "--layer", "0", "--channel", "-1"]).await;
    assert!(
        stderr(&negative).contains("invalid value '-1' for '--channel"),
        "{}",
        stderr(&negative)
    );
    let message = error(server, 3, &["visualize", "a", "--class", "-1"]).await;
    assert!(message.contains("there is no class -1"), "{message}");
    let message = error(server, 3, &["visualize", "a", "--class", "Hat"]).await;
    assert!(message.contains("the classes are named 0, 1, 2"), "{message}");
    let message = error(server, 3, &["visualize", "a", "--class", "10"]).await;
    assert!(
        message.contains("there is no class 10: ") && message.contains("or by index 0 to 9"),
        "{message}"
    );
    let refused = ask(server, &["visualize", "a", "--image", "7", "--steps", "2"]).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("cannot be used with"));
    let both = error(server, 2, &["visualize", "a", "--class", "3", "--layer", "0"]).await;
    assert!(both.contains("leave out --class or --layer"), "{both}");
    studio.server.stop().await.unwrap();
}

#[tokio::test]
async fn exemplars_of_channels_are_listed() {
    let studio = Studio::open().await;
    let (server, seen) = (&studio.server, studio.pictures());
    let exemplars = ["visualize", "a", "--layer", "0", "--exemplars"];
    let all = document(server, &[&exemplars[..], &["--output-dir", &seen]].concat()).await;
    let channels = all["exemplars"]["channels"].as_array().unwrap();
    assert!(
        channels.len() == 8 && channels[0]["images"].as_array().unwrap().len() == 9,
        "{all:#}"
    );
    let name = all["pictures"][0]["name"].as_str().unwrap();
    assert!(
        image::open(Path::new(&seen).join(name)).is_ok() && name.contains("-exemplar-1-image-"),
        "{name}"
    );
    let one = text(server, &[&exemplars[..], &["--channel", "5"]].concat()).await;
    assert!(one.contains("max activation"), "{one}");
    let missing = [
        "visualize",
        "a",
        "--layer",
        "0",
        "--channel",
        "999",
        "--output-dir",
        &seen,
    ];
    let message = error(server, 1, &missing).await;
    assert!(
        message.contains("999") && message.contains("out of range") && !message.contains("BAD_USER_INPUT"),
        "{message}"
    );
    studio.server.stop().await.unwrap();
}
