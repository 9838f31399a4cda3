//! A teacher's live view: it shows what happens on all nodes, whichever is asked.

use std::{sync::Arc, time::Duration};

use murph::db;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    PATIENCE,
    accounts::{Class, sign_in},
    nodes::{Cluster, Settings},
};

/// Looks at a live view until it shows what it should.
async fn until_shown(cluster: &Cluster, node: usize, token: &str, holds: impl Fn(&Value) -> bool) {
    let url = format!("{}/api/v1/teacher/live", cluster.url(node));
    let request = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
    let mut response = request.bearer_auth(token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut text = String::new();
    let looking = async {
        loop {
            let chunk = response.chunk().await.unwrap().expect("it goes on");
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let event: Option<Value> = data.map(|data| serde_json::from_str(data).unwrap());
                let rest = rest.to_owned();
                text = rest;
                if event.is_some_and(|event| holds(&event)) {
                    return;
                }
            }
        }
    };
    timeout(PATIENCE, looking).await.expect("it is shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_of_all_nodes_are_in_every_live_view() {
    let Some(settings) = Settings::of_this_run() else { return };
    let cluster = Arc::new(settings.start(2).await);
    let teacher = {
        let mut tx = cluster.db().read().await.unwrap();
        db::users::find(&mut tx, cluster.course.teacher_id).await.unwrap().unwrap()
    };
    let token = sign_in(&cluster, &teacher).await;
    let mut class = Class::watching(&cluster, 4).await;
    let nodes: Vec<usize> =
        class.viewers.iter().filter_map(|viewer| viewer.seat()).map(|(node, _)| node).collect();
    assert!(nodes.contains(&0) && nodes.contains(&1), "{nodes:?}");
    for node in 0..2 {
        until_shown(&cluster, node, &token, |event| event["viewers"] == 4).await;
    }
    class.end().await;
    for node in 0..2 {
        let over = |event: &Value| event["viewers"] == 0 && event["earnings"][0]["today"] != "0.00";
        until_shown(&cluster, node, &token, over).await;
    }
    class.assert_settled(&cluster, Duration::ZERO).await;
    drop(class);
    Arc::into_inner(cluster).expect("nobody else has it").close().await;
}
