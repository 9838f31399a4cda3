//! The tour of the README, run as a newcomer would paste it.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::TestApp;

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));

#[tokio::test]
async fn the_tour_works_when_pasted() {
    let app = TestApp::start().await;
    let (_, tour) = README.split_once("```sh tour\n").unwrap();
    let (tour, _) = tour.split_once("```").unwrap();
    let script = tour.replace("http://127.0.0.1:8000", &app.url);

    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script]).stdin(Stdio::null()).kill_on_drop(true);
    let output = bash.output().await.unwrap();

    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[1], lines[2], "the same request is answered the same");
    assert!(lines[3].contains(r#""held":"30.00""#), "{said}");
    assert!(lines[4].contains(r#""was_free":true"#), "{said}");
    assert!(lines[5].contains(r#""available":"30.00""#), "{said}");
    app.close().await;
}
