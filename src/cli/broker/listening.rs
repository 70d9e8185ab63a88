//! Where a broker can be reached: said in the log, and written to a file for programs.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::exit::Failure;

/// The addresses of a running broker, with the ports the system chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Of clients and servers.
    pub clients: SocketAddr,
    /// Of those who want to see how it is.
    pub status_pages: Option<SocketAddr>,
    /// Of the other brokers of the cluster.
    pub brokers: Option<SocketAddr>,
    /// Of clients in WebSockets, and whether they are encrypted.
    pub websockets: Option<(SocketAddr, bool)>,
}

/// The form of the ports file of nats-server (`server/server.go` type Ports).
#[derive(Serialize)]
struct Ports {
    nats: Vec<String>,
    monitoring: Vec<String>,
    cluster: Vec<String>,
    profile: Vec<String>,
    websocket: Vec<String>,
}

impl Listening {
    /// Says in the log that the broker is up, `as_nats` in the words of nats-server.
    pub fn announce(&self, as_nats: bool) {
        if let Some(pages) = self.status_pages {
            let words =
                if as_nats { "Starting http monitor on" } else { "broker: status pages on" };
            log::info!("{words} {pages}");
        }
        if let Some((address, is_tls)) = self.websockets {
            match as_nats {
                true => {
                    let scheme = if is_tls { "wss" } else { "ws" };
                    log::info!("Listening for websocket clients on {scheme}://{address}");
                }
                false => log::info!("broker: listening for WebSockets on {address}"),
            }
        }
        if let Some(address) = self.brokers {
            log::info!("broker: listening for other brokers on {address}");
        }
        if as_nats {
            log::info!("Listening for client connections on {}", self.clients);
            log::info!("Server is ready");
        } else {
            log::info!("broker: listening for clients on {}", self.clients);
        }
    }

    fn to_json(&self) -> String {
        let ports = Ports {
            nats: vec![url("nats", self.clients)],
            monitoring: self.status_pages.map(|pages| url("http", pages)).into_iter().collect(),
            cluster: self.brokers.map(|address| url("nats", address)).into_iter().collect(),
            profile: Vec::new(),
            websocket: self
                .websockets
                .map(|(address, is_tls)| url(if is_tls { "wss" } else { "ws" }, address))
                .into_iter()
                .collect(),
        };
        serde_json::to_string(&ports).unwrap_or_default()
    }
}

/// An address that can be connected to from this computer.
fn url(scheme: &str, mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    format!("{scheme}://{address}")
}

/// A file with the addresses, removed when this is dropped.
#[derive(Debug)]
pub struct PortsFile {
    path: PathBuf,
}

impl PortsFile {
    /// Writes the file in one step, so that nobody reads a part of it.
    pub fn write(path: &Path, listening: &Listening) -> Result<PortsFile, Failure> {
        let write = || -> io::Result<()> {
            let mut new = path.as_os_str().to_owned();
            new.push(".new");
            fs::write(&new, listening.to_json())?;
            fs::rename(&new, path)
        };
        write().map_err(|error| {
            Failure::new(format!("cannot write ports file {}: {error}", path.display()))
        })?;
        Ok(PortsFile { path: path.to_owned() })
    }
}

impl Drop for PortsFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            log::debug!("broker: cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ports_file_lives_as_long_as_the_broker() {
        let path = std::env::temp_dir().join(format!("choria-ports-{}", std::process::id()));
        let listening = Listening {
            clients: SocketAddr::from(([0, 0, 0, 0], 4333)),
            status_pages: Some(SocketAddr::from(([127, 0, 0, 1], 8333))),
            brokers: Some(SocketAddr::from(([127, 0, 0, 1], 5222))),
            websockets: Some((SocketAddr::from(([127, 0, 0, 1], 4334)), true)),
        };
        let file = PortsFile::write(&path, &listening).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"nats\":[\"nats://127.0.0.1:4333\"],\"monitoring\":[\"http://127.0.0.1:8333\"],\"cluster\":[\"nats://127.0.0.1:5222\"],\"profile\":[],\
             \"websocket\":[\"wss://127.0.0.1:4334\"]}"
        );
        drop(file);
        assert!(!path.exists());
    }
}
