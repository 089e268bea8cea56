//! The commands by noun: models, versions, data sets, layers, and the server itself.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{ask, document, error, file, push_and_wait, stderr, text};
use crate::support::idx;
use crate::support::server::Server;

#[tokio::test]
async fn models_are_created_changed_deleted_and_restored() {
    let server = Server::start().await;
    let create = ["model", "create", "two words", "--tag", "x", "--description", "a test"];
    let model = document(&server, &create).await;
    assert_eq!((&model["name"], &model["tags"]), (&json!("two words"), &json!(["x"])));
    text(&server, &["model", "create", "other"]).await;

    text(&server, &["model", "rename", "two words", "one"]).await;
    text(&server, &["model", "tag", "one", "y", "x", "z"]).await;
    let model = document(&server, &["model", "untag", "one", "x"]).await;
    assert_eq!(model["tags"], json!(["y", "z"]));
    let model = document(&server, &["model", "describe", "one", "renamed"]).await;
    assert_eq!(model["description"], "renamed");
    let shown = text(&server, &["model", "show", "one"]).await;
    assert!(shown.contains("renamed") && shown.contains("no versions"), "{shown}");

    let tagged = document(&server, &["model", "list", "--tag", "y"]).await;
    assert_eq!(names(&tagged["models"]), ["one"]);
    let listed = document(&server, &["model", "ls", "--name", "OTH"]).await;
    assert_eq!(names(&listed["models"]), ["other"]);
    let listed = text(&server, &["model", "list", "--limit", "1"]).await;
    assert!(
        listed.contains("1 of 2 models; to list more use --limit N or --all"),
        "{listed}"
    );

    let message = error(&server, 2, &["model", "delete", "one"]).await;
    assert!(
        message.contains("deleting model \"one\" with 0 versions needs the option --yes")
            && message.contains("without a terminal"),
        "{message}"
    );
    text(&server, &["model", "rm", "one", "--yes"]).await;
    assert_eq!(names(&document(&server, &["model", "list"]).await["models"]), ["other"]);
    let deleted = document(&server, &["model", "list", "--deleted"]).await;
    assert_eq!(names(&deleted["models"]), ["one"]);
    text(&server, &["model", "restore", "one"]).await;
    assert_eq!(
        names(&document(&server, &["model", "list"]).await["models"]),
        ["one", "other"]
    );
    let message = error(&server, 3, &["model", "restore", "one"]).await;
    assert!(message.contains("there is no deleted model \"one\""), "{message}");
    let message = error(&server, 3, &["model", "show", "none"]).await;
    assert!(message.contains("the server has \"one\", \"other\""), "{message}");
    server.stop().await.unwrap();
}

fn names(models: &Value) -> Vec<&str> {
    let models = models.as_array().unwrap().iter();
    models.map(|model| model["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn versions_are_listed_shown_downloaded_and_deleted() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    push_and_wait(&server, "a", 1).await;
    let list = document(&server, &["version", "list", "a"]).await;
    assert_eq!(
        (&list["totalCount"], &list["versions"][0]["status"]),
        (&json!(1), &json!("READY"))
    );
    let shown = text(&server, &["version", "show", "a"]).await;
    assert!(
        shown.contains("a:1") && shown.contains("onnx, safetensors, pytorch"),
        "{shown}"
    );

    let path = folder.path().join("a.onnx");
    let download = ["version", "download", "a:1", "-o", path.to_str().unwrap()];
    let output = text(&server, &download).await;
    assert!(
        output.starts_with("wrote ") && std::fs::metadata(&path).unwrap().len() > 100,
        "{output}"
    );
    let message = error(&server, 1, &download).await;
    assert!(message.contains("--force"), "{message}");

    let onnx = path.to_str().unwrap();
    text(&server, &["push", "--model", "from-onnx", "--dataset", "digits", onnx]).await;
    let message = error(&server, 3, &["version", "download", "from-onnx", "--format", "pytorch"]).await;
    assert!(
        message.contains("from-onnx:1 cannot be downloaded as pytorch: only as onnx"),
        "{message}"
    );
    text(&server, &[&download[..], &["--force", "--format", "pytorch"]].concat()).await;
    assert!(std::fs::read_to_string(&path).unwrap().contains("import torch"));

    let message = error(&server, 2, &["version", "delete", "a", "--yes"]).await;
    assert!(
        message.contains("give the number of the version to delete, as in a:1"),
        "{message}"
    );
    let message = error(&server, 2, &["version", "delete", "a:1"]).await;
    assert!(message.contains("--yes"), "{message}");
    text(&server, &["version", "rm", "a:1", "--yes"]).await;
    error(&server, 3, &["version", "show", "a:1"]).await;
    let program = text(&server, &["version"]).await;
    assert_eq!(program, format!("scv {}\n", env!("CARGO_PKG_VERSION")));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_model_whose_name_looks_like_a_version_is_found() {
    let server = Server::start().await;
    push_and_wait(&server, "a", 1).await;
    // Such a name cannot be given any more, but a library may have it.
    server.execute("update model set name = 'a:1' where name = 'a'").await;
    let shown = document(&server, &["version", "show", "a:1"]).await;
    assert_eq!((&shown["model"]["name"], &shown["number"]), (&json!("a:1"), &json!(1)));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn layers_are_listed_and_shown() {
    let server = Server::start().await;
    push_and_wait(&server, "a", 1).await;
    let layers = document(&server, &["layer", "list", "a"]).await;
    assert_eq!(layers["layers"].as_array().unwrap().len(), 7);
    assert_eq!(layers["layers"][4]["vector"], true);
    let layer = text(&server, &["layer", "show", "a", "4"]).await;
    assert!(layer.contains("Conv2d") && layer.contains("out_channels 16"), "{layer}");
    let message = error(&server, 3, &["layer", "show", "a", "9"]).await;
    assert!(message.contains("a:1 has no layer 9"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn data_sets_are_imported_listed_and_shown() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let place = |name, content| file(folder.path(), name, content);
    let files = [
        "--train-images",
        &place("train-images", idx::images(40, 8)),
        "--train-labels",
        &place("train-labels", idx::labels(40, 2, 1)),
        "--test-images",
        &place("test-images", idx::images(20, 8)),
        "--test-labels",
        &place("test-labels", idx::labels(20, 2, 1)),
    ];
    // Labels that begin at 1 would leave the first class without images.
    let message = error(
        &server,
        6,
        &[&["dataset", "import", "idx", "--name", "noise"][..], &files].concat(),
    )
    .await;
    assert!(
        message.contains("the labels begin at 1, and the first label is 0: set --first-label to 1"),
        "{message}"
    );
    let import = [
        "dataset",
        "import",
        "idx",
        "--name",
        "noise",
        "--class-names",
        "even,odd",
        "--first-label",
        "1",
    ];
    let dataset = document(&server, &[&import[..], &files].concat()).await;
    assert_eq!(dataset["classNames"], json!(["even", "odd"]));
    assert_eq!(dataset["height"], 8);

    let broken = place("train-labels", vec![0; 5]);
    let import_broken = [&["dataset", "import", "idx", "--name", "other"][..], &files].concat();
    let message = error(&server, 1, &import_broken).await;
    assert!(
        message.contains(&format!("{broken}, the IDX file of train labels, ")),
        "{message}"
    );

    // A file whose header is valid is refused by the job.
    let cut = place("train-labels", idx::labels(40, 2, 1)[..20].to_vec());
    let message = error(&server, 6, &import_broken).await;
    assert!(
        message.contains(&format!(
            "the job of data set other failed: {cut}, the IDX file of train labels, is truncated"
        )),
        "{message}"
    );
    let failed = document(&server, &["job", "list", "--kind", "import", "--status", "failed"]).await;
    assert_eq!(failed["jobs"][0]["newDatasetName"], "other");
    let id = failed["jobs"][0]["id"].as_str().unwrap();
    let shown = text(&server, &["job", "show", id]).await;
    assert!(shown.contains("data set other"), "{shown}");

    let output = text(&server, &["dataset", "import", "digits", "--name", "numbers"]).await;
    assert!(
        output.starts_with("numbers: ") && output.contains("in 10 classes"),
        "{output}"
    );
    let message = error(&server, 1, &["dataset", "import", "digits", "--name", "numbers"]).await;
    assert_eq!(
        message,
        "error: a data set with this name exists already: choose another name\n"
    );
    // The old form of the command still works.
    text(&server, &["import", "digits", "--name", "more"]).await;

    let list = document(&server, &["dataset", "list"]).await;
    assert_eq!(list["totalCount"], 4);
    let shown = text(&server, &["dataset", "show", "noise"]).await;
    assert!(shown.contains("1x8x8") && shown.contains("even, odd"), "{shown}");
    let message = error(&server, 3, &["dataset", "show", "moon"]).await;
    assert!(message.contains("there is no data set \"moon\""), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_status_shows_the_server_and_its_jobs() {
    let server = Server::start().await;
    let status = document(&server, &["status"]).await;
    assert_eq!(status["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["viewer"]["scope"], "ADMIN");
    let shown = text(&server, &["status"]).await;
    assert!(
        shown.contains("CPU") && shown.contains("no queued or running jobs"),
        "{shown}"
    );
    let job = server.api.endless_job().await;
    let shown = text(&server, &["status"]).await;
    assert!(shown.contains(&job) && shown.contains("endless:1"), "{shown}");
    server.api.cancel(&job).await;
    assert_eq!(text(&server, &["whoami"]).await, "anonymous (admin)\n");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn plural_nouns_are_understood_and_unknown_commands_are_not() {
    let server = Server::start().await;
    text(&server, &["models", "ls"]).await;
    let output = ask(&server, &["model", "lst"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("list"), "{}", stderr(&output));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn reindex_returns_when_the_index_is_complete_and_fails_if_it_was_not_rebuilt() {
    let server = Server::start().await;
    push_and_wait(&server, "a", 1).await;
    let rebuilt = document(&server, &["reindex"]).await;
    assert_eq!(
        (&rebuilt[0]["dataset"], &rebuilt[0]["layers"]),
        (&json!("digits"), &json!(7))
    );

    let url = server.config.database_url.as_deref().unwrap();
    let mut database = PgConnection::connect(url).await.unwrap();
    let basis: i64 = sqlx::query_scalar("select basis_id from sketch_basis")
        .fetch_one(&mut database)
        .await
        .unwrap();
    let drop = format!("drop table layer_sketch_{basis}, long_sketch_{basis}");
    sqlx::query(AssertSqlSafe(drop)).execute(&mut database).await.unwrap();
    let message = error(&server, 1, &["reindex"]).await;
    assert!(
        message.contains("images of digits was not rebuilt: the server's log says why"),
        "{message}"
    );
    server.stop().await.unwrap();
}
