//! `murph health`: whether a server is well, in one line. Made for Docker's `HEALTHCHECK`, where
//! the image holds nothing else that could ask.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde::Deserialize;

use crate::{
    cli::{fail::Failure, output},
    config::{Config, ConfigError},
};

/// How long a server that is well may take. Its own look at the database ends after 2 s.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Where the server is; without it, where the settings let it listen
    #[arg(long)]
    url: Option<String>,
}

/// The part of a server's answer that is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    status: String,
    pub(super) version: String,
}

pub(super) async fn run(
    config: impl FnOnce() -> Result<Config, ConfigError>,
    options: Options,
) -> Result<ExitCode, Failure> {
    let url = match options.url {
        Some(url) => url,
        None => url_of(config()?.server.listen)?,
    };
    let answer = ask(&url).await?;
    output::line(format!("{}: Murph {} at {url}", answer.status, answer.version))
}

/// Where a server that listens on `listen` is reached from the same machine.
pub(super) fn url_of(listen: SocketAddr) -> Result<String, Failure> {
    if listen.port() == 0 {
        let mend = "name the server with --url";
        return Err(Failure::from(format!("server.listen leaves the port open; {mend}")));
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(format!("http://{}", SocketAddr::new(ip, listen.port())))
}

/// Asks the server at `url`. A failure unless it is a Murph and well.
pub(super) async fn ask(url: &str) -> Result<Answer, Failure> {
    let url = format!("{}/health", url.trim_end_matches('/').trim_end_matches("/health"));
    let not_well = |why: String| Failure::from(format!("not healthy: {url} {why}"));
    let request = client()?.get(&url).send().await;
    let response = request.map_err(|error| not_well(why(&error)))?;
    let status = response.status();
    match response.json::<Answer>().await {
        Ok(answer) if status.is_success() && answer.status == "healthy" => Ok(answer),
        Ok(answer) => Err(not_well(format!("says it is {}; look at its log", answer.status))),
        Err(_) => Err(not_well(format!("answered {status}, and not as Murph does; check the URL"))),
    }
}

fn client() -> Result<reqwest::Client, Failure> {
    // A proxy that the environment names is not for asking oneself.
    let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build();
    client.map_err(|error| Failure::from(format!("cannot make requests: {error}")))
}

fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        format!("did not answer within {TIMEOUT:?}; is it overloaded?")
    } else if error.is_builder() {
        "is no URL; write it as http://127.0.0.1:8000".into()
    } else {
        "cannot be reached; is Murph running there?".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_asked_on_this_machine() {
        for (listen, url) in [
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:81", "http://[::1]:81"),
            ("192.0.2.1:82", "http://192.0.2.1:82"),
        ] {
            assert_eq!(url_of(listen.parse().unwrap()).unwrap(), url);
        }
        assert!(url_of("127.0.0.1:0".parse().unwrap()).is_err());
    }
}
