use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use super::super::Wanted;
use super::*;
use crate::broker::link::tests::{BOUNDS, loose_link, pair};

/// A route and its far end.
struct Route {
    link: Arc<Link>,
    peer: TcpStream,
}

impl Route {
    fn new() -> Route {
        let (link, peer) = pair(BOUNDS);
        peer.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        Route { link, peer }
    }

    /// What was sent since the last time, lines in order.
    fn told(&mut self) -> Vec<String> {
        self.link.append(b"END\r\n");
        self.link.drain(0);
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while !text.ends_with(b"END\r\n") {
            let count = self.peer.read(&mut buffer).expect("told");
            text.extend_from_slice(&buffer[..count]);
        }
        let text = String::from_utf8(text).expect("text");
        text.lines().filter(|line| *line != "END").map(str::to_owned).collect()
    }
}

fn subscribe(interest: &Interest, subject: &str, queue: Option<&str>) -> Arc<Sub> {
    let queue = queue.map(str::as_bytes);
    interest.subscribe(&loose_link(), Wanted { subject: subject.as_bytes(), queue, sid: b"1" })
}

fn wanted<'e>(subject: &'e str, queue: Option<&'e str>) -> Elsewhere<'e> {
    Elsewhere { subject: subject.as_bytes(), queue: queue.map(str::as_bytes) }
}

#[test]
fn routes_hear_of_the_first_and_the_last_and_of_every_member() {
    let interest = Interest::of_account(0, "A");
    let mut route = Route::new();
    let early = subscribe(&interest, "early", None);
    let _member = subscribe(&interest, "early.*", Some("q"));
    subscribe(&interest, "early.*", Some("q"));
    interest.tell(&route.link);
    let mut told = route.told();
    told.sort_unstable();
    assert_eq!(told, ["RS+ A early", "RS+ A early.* q 2"]);
    let subs: Vec<_> = (0..2).map(|_| subscribe(&interest, "foo.>", None)).collect();
    let members: Vec<_> = (0..2).map(|_| subscribe(&interest, "foo", Some("q"))).collect();
    assert_eq!(route.told(), ["RS+ A foo.>", "RS+ A foo q 1", "RS+ A foo q 2"]);
    interest.unsubscribe(subs.iter().chain(&members));
    interest.unsubscribe([early].iter());
    let expected = ["RS- A foo.>", "RS+ A foo q 1", "RS- A foo q", "RS- A early"];
    assert_eq!(route.told(), expected);
    interest.stop_telling(&route.link);
    subscribe(&interest, "later", None);
    assert_eq!(route.told(), Vec::<String>::new());
}

#[test]
fn what_others_want_is_found_and_not_told_on() {
    let interest = Interest::of_account(0, "A");
    let mut routes = [Route::new(), Route::new()];
    routes.iter().for_each(|route| interest.tell(&route.link));
    let stamp = interest.stamp(interest.hash(b"foo"));
    let [first, second] = &routes;
    interest.add_remote(&first.link, wanted("foo", None), 1);
    assert_ne!(interest.stamp(interest.hash(b"foo")), stamp);
    interest.add_remote(&first.link, wanted("foo", None), 1);
    interest.add_remote(&first.link, wanted("*", None), 1);
    interest.add_remote(&second.link, wanted(">", None), 1);
    let matches = interest.find(b"foo");
    let remote = matches.remote.as_ref().expect("remote");
    assert_eq!((matches.len(), remote.routes.len()), (2, 2));
    assert_eq!(remote.head, b"RMSG A foo ");
    assert_eq!(remote.head_with_headers, b"HMSG A foo ");
    interest.drop_remote(&first.link, [wanted("foo", None), wanted("*", None)].into_iter());
    let matches = interest.find(b"foo");
    let remote = matches.remote.as_ref().expect("remote");
    assert!(remote.routes.len() == 1 && Arc::ptr_eq(&remote.routes[0], &second.link));
    interest.drop_remote(&second.link, [wanted(">", None), wanted("x", None)].into_iter());
    assert!(interest.find(b"foo").is_empty());
    let tables = interest.tables.read().expect("lock");
    assert!(tables.exact.is_empty() && tables.wild.is_empty() && tables.count == 0);
    drop(tables);
    for route in &mut routes {
        assert_eq!(route.told(), Vec::<String>::new());
    }
}

#[test]
fn groups_have_members_here_and_elsewhere() {
    let interest = Interest::of_account(0, "A");
    let (first, second) = (Route::new(), Route::new());
    let local = subscribe(&interest, "foo", Some("q"));
    interest.add_remote(&first.link, wanted("foo", Some("q")), 3);
    interest.add_remote(&first.link, wanted("foo", Some("q")), 2);
    interest.add_remote(&first.link, wanted("*", Some("q")), 1);
    interest.add_remote(&second.link, wanted("foo", Some("q")), 5);
    interest.add_remote(&second.link, wanted("foo", Some("other")), 1);
    let shown = || {
        let matches = interest.find(b"foo");
        assert!(matches.remote.as_ref().is_none_or(|remote| remote.routes.is_empty()));
        let group = |group: &crate::broker::groups::Group| {
            let mut weights: Vec<u32> = group.remotes.iter().map(|remote| remote.weight).collect();
            weights.sort_unstable();
            (String::from_utf8_lossy(&group.name).into_owned(), group.members.len(), weights)
        };
        let mut groups: Vec<_> = matches.groups.iter().map(group).collect();
        groups.sort_unstable();
        groups
    };
    let other = ("other".to_owned(), 0, vec![1]);
    assert_eq!(shown(), [other.clone(), ("q".to_owned(), 1, vec![3, 5])]);
    interest.unsubscribe([local].iter());
    interest.drop_remote(&first.link, std::iter::once(wanted("*", Some("q"))));
    assert_eq!(shown(), [other.clone(), ("q".to_owned(), 0, vec![2, 5])]);
    interest.drop_remote(&first.link, std::iter::once(wanted("foo", Some("q"))));
    interest.drop_remote(&second.link, std::iter::once(wanted("foo", Some("q"))));
    assert_eq!(shown(), [other]);
}
