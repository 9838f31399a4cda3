//! What is said on a socket against `asyncapi.yaml`.

pub(crate) fn assert_valid_from_server(text: &str) {
    let _: serde_json::Value = serde_json::from_str(text).unwrap();
}
