//! The status pages of roles that run without a router: federation broker, data adapters.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::json;

use super::Surroundings;
use super::metrics;
use super::sampler::Sampler;
use super::varz::cores;
use crate::http::{Answer, Handler, Request, Response};
use crate::sys;
use crate::util::exposition::Figures;

/// Answers requests for status pages.
#[derive(Debug)]
pub struct RolePages {
    around: Surroundings,
    started: SystemTime,
    sampler: Sampler,
    roles: Vec<Arc<dyn Figures>>,
    is_tls: bool,
}

impl RolePages {
    /// The pages of some roles; `is_tls` says whether they use TLS.
    pub fn new(around: Surroundings, roles: Vec<Arc<dyn Figures>>, is_tls: bool) -> Arc<RolePages> {
        let (started, sampler) = (SystemTime::now(), Sampler::new());
        Arc::new(RolePages { around, started, sampler, roles, is_tls })
    }

    fn page(&self, path: &str) -> Response {
        match path {
            "/metrics" | "/choria/prometheus" | "/choria/metrics" => {
                let (identity, version) = (&self.around.identity, &self.around.version);
                let text = metrics::of_roles(identity, version, self.started, &self.roles);
                Response::new(200, metrics::MEDIA_TYPE, text)
            }
            "/healthz" => self.healthz(),
            "/choria" | "/choria/" => self.choria(),
            "/" => Response::text(200, "/metrics\n/healthz\n/choria/\n"),
            _ => Response::text(404, "404 page not found\n"),
        }
    }

    fn healthz(&self) -> Response {
        let trouble = self.roles.iter().find_map(|role| role.trouble());
        let (status, body) = match trouble {
            None => (200, json!({"status": "ok"})),
            Some(text) => (503, json!({"status": "unavailable", "error": text})),
        };
        Response::json(status, body.to_string().into_bytes())
    }

    fn choria(&self) -> Response {
        let file = self.around.config_file.as_ref();
        let body = json!({
            "build": {
                "version": self.around.version, "sha": "unknown", "build_date": "unknown",
                "license": env!("CARGO_PKG_LICENSE"), "tls": self.is_tls, "secure": self.is_tls,
                "go": "", "max_broker_clients": 0,
            },
            "system": {
                "rss": sys::memory_bytes().0, "cpu_percent": self.sampler.cpu_percent(),
                "cpu_cores": cores(),
            },
            "config_file": file.map(|path| path.display().to_string()).unwrap_or_default(),
            "identity": self.around.identity,
        });
        Response::json(200, serde_json::to_vec_pretty(&body).unwrap_or_default())
    }
}

impl Handler for Arc<RolePages> {
    fn answer(&self, request: Request) -> Answer {
        let pages = self.clone();
        Box::pin(async move { pages.page(&request.path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::exposition::Exposition;

    #[derive(Debug)]
    struct Role(Option<&'static str>);

    impl Figures for Role {
        fn write(&self, text: &mut Exposition) {
            text.head("a_role", "gauge", "A role");
            text.sample("a_role", &[], 1);
        }

        fn trouble(&self) -> Option<String> {
            self.0.map(str::to_owned)
        }
    }

    #[test]
    fn roles_are_shown_and_their_troubles() {
        let around = || Surroundings {
            version: "1.2.3".to_owned(),
            identity: "fed1".to_owned(),
            config_file: None,
            http: None,
        };
        let figures =
            metrics::of_roles("fed1", "1.2.3", SystemTime::now(), &[Arc::new(Role(None))]);
        for line in [
            "choria_build_info{identity=\"fed1\",sha=\"unknown\",version=\"1.2.3\"} 1\n",
            "process_resident_memory_bytes ",
            "# TYPE a_role gauge\na_role 1\n",
        ] {
            assert!(figures.contains(line), "{line}{figures}");
        }
        let page = |path: &str, trouble| {
            let pages = RolePages::new(around(), vec![Arc::new(Role(trouble))], true);
            let response = pages.page(path);
            (response.status(), String::from_utf8(response.body().to_vec()).unwrap())
        };
        for (path, trouble, status, part) in [
            ("/healthz", None, 200, "\"ok\""),
            ("/healthz", Some("it is broken"), 503, "it is broken"),
            ("/metrics", None, 200, "a_role 1"),
            ("/choria/", None, 200, "\"identity\": \"fed1\""),
            ("/other", None, 404, ""),
        ] {
            let (found, body) = page(path, trouble);
            assert!(found == status && body.contains(part), "{path}: {found} {body}");
        }
    }
}
