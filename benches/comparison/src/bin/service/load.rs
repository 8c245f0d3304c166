//! What a service is asked for.

use std::rc::Rc;

/// Pages that are asked for; the service keeps fewer, so that some have to be made again.
const PAGES: u64 = 1_536;
const ECHO_BYTES: usize = 4_096;
/// Customers of the shop.
const CUSTOMERS: u64 = 100;

/// Which requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Half of them are for orders, a quarter are echoes, a quarter for pages.
    Web,
    /// Two of three read the orders of a customer, one changes some.
    Shop,
    /// Half of the connections are websockets, over which orders are read. The others read orders
    /// as streams.
    Live,
}

/// The requests, the same ones in the same order each time, and over how many connections they are
/// made.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) texts: Rc<[Vec<u8>]>,
    pub(crate) connections: usize,
}

impl Load {
    pub(crate) fn over(connections: usize, kind: Kind) -> Self {
        let mut random = 7u64;
        let text = |place: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            kind.text(place, random >> 33)
        };
        Self { kind, texts: (0..8_192).map(text).collect(), connections }
    }
}

impl Kind {
    /// As it is chosen, and as its table is marked.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Shop => "shop",
            Self::Live => "live",
        }
    }

    /// Whether the connection with this number is a websocket.
    pub(crate) fn is_websocket(self, connection: usize) -> bool {
        self == Self::Live && connection.is_multiple_of(2)
    }

    /// The request over HTTP at a place among all, with a random number.
    fn text(self, place: u64, random: u64) -> Vec<u8> {
        match (self, place % 12) {
            (Self::Web, 0 | 2 | 4 | 6 | 8 | 10) => get(&format!("/orders/{}", 5 + random % 20)),
            (Self::Web, 1 | 5 | 9) => get(&format!("/page/{}", random % PAGES)),
            (Self::Web, _) => post("/echo", &"x".repeat(ECHO_BYTES)),
            (Self::Shop, 2 | 5 | 8 | 11) => {
                let change = |number| {
                    format!("{{\"number\":{number},\"cents\":{}}}", (random + number) % 10_000)
                };
                let changes: Vec<String> = (0..20).map(|at| change((random + at) % 240)).collect();
                let path = format!("/orders/{}", random % CUSTOMERS);
                post(&path, &format!("[{}]", changes.join(",")))
            }
            (Self::Shop, _) => get(&format!("/orders/{}", random % CUSTOMERS)),
            (Self::Live, _) => get(&format!("/export/{}", random % CUSTOMERS)),
        }
    }

    /// The message over a websocket at a place among all requests.
    pub(crate) fn message(place: usize) -> String {
        (place as u64 * 7 % CUSTOMERS).to_string()
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: service\r\naccept: */*\r\n\r\n").into_bytes()
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: service\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
