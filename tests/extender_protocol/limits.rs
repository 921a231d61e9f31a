//! Limits of size and time.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::*;
use crate::serving;

/// All that the server sends until it closes.
async fn rest(mut stream: impl AsyncReadExt + Unpin) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

async fn send(served: &Served, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.running.address()).await.unwrap();
    stream.write_all(format!("POST /v1/filter HTTP/1.1\r\nHost: testudo\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_body_of_100_mb_is_refused_before_it_is_sent() {
    let served = serve(options());
    let stream = send(&served, "Content-Length: 100000000").await;
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("the body has 100000000 bytes, the limit is 96000000"), "{answer}");
    assert_eq!(served.metric("testudo_extender_bad_requests_total{reason=\"body_too_large\"}").await, Some(1.0));
}

#[tokio::test]
async fn a_body_of_100_mb_that_is_sent_at_once_gets_the_same_answer() {
    let served = serve(options());
    let mut stream = send(&served, "Content-Length: 100000000").await;
    let (reader, mut writer) = stream.split();
    let chunk = vec![b' '; 1 << 16];
    let write = async {
        for _ in 0..100_000_000 / chunk.len() {
            if writer.write_all(&chunk).await.is_err() {
                break;
            }
        }
    };
    let (answer, ()) = tokio::join!(rest(reader), write);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_body_without_announced_length_is_cut_off_at_the_limit() {
    let served = serve(ServerOptions { body_limit_bytes: 100_000, ..options() });
    let mut stream = send(&served, "Transfer-Encoding: chunked").await;
    let (reader, mut writer) = stream.split();
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend_from_slice(&[b' '; 0x10000]);
    chunk.extend_from_slice(b"\r\n");
    let write = async {
        for _ in 0..1_600 {
            if writer.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _ = writer.write_all(b"0\r\n\r\n").await;
        let _ = writer.shutdown().await;
    };
    let (answer, ()) = tokio::join!(rest(reader), write);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("more than 100000 bytes, the limit is 100000"), "{answer}");
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_read() {
    let body = args("p", &["gpu-a"]);
    let served = serve(ServerOptions { body_limit_bytes: body.len(), ..options() });
    assert_eq!(served.post("filter", body.clone()).await.0, 200);
    assert_eq!(served.post("filter", format!("{body} ")).await.0, 413);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let served = serve(ServerOptions { request_timeout: Duration::from_millis(200), ..options() });
    let mut stream = send(&served, "Content-Length: 1000").await;
    stream.write_all(b"{\"Pod\":").await.unwrap();
    let started = Instant::now();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("the body did not arrive within 200ms"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(served.metric("testudo_extender_bad_requests_total{reason=\"body_too_slow\"}").await, Some(1.0));
    assert_eq!(served.metric("testudo_extender_requests_total{verb=\"filter\",code=\"408\"}").await, Some(1.0));
}

#[tokio::test]
async fn a_caller_that_hangs_up_in_its_body_leaves_nothing_behind() {
    let served = serve(options());
    let mut stream = send(&served, "Content-Length: 1000").await;
    stream.write_all(b"{\"Pod\":").await.unwrap();
    drop(stream);
    let mut in_flight = None;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        in_flight = served.metric("testudo_extender_requests_in_flight").await;
        let answered = served.metric("testudo_extender_request_duration_seconds_count{verb=\"filter\"}").await;
        if in_flight == Some(0.0) && answered == Some(1.0) {
            return;
        }
    }
    panic!("{in_flight:?} in flight");
}

#[tokio::test]
async fn a_million_names_are_counted_and_not_kept() {
    let served = serve(options());
    let names = vec![""; 1_000_000];
    let (status, found) = served.post("filter", args("p", &names)).await;
    assert_eq!(status, 200);
    assert_eq!(json(&found)["Error"], "testudo: the request names 1000000 nodes, the limit is 20000");
}

#[tokio::test]
async fn five_thousand_whole_nodes_pass() {
    let node = |index| {
        serde_json::json!({
            "metadata": { "name": format!("gpu-{index}") },
            "status": { "images": vec!["x".repeat(200); 20] },
        })
    };
    let items: Vec<_> = (0..5_000).map(node).collect();
    let body = serde_json::json!({ "Pod": {}, "Nodes": { "items": items } }).to_string();
    assert!(body.len() > 20_000_000);
    let served = serve(ServerOptions { request_timeout: Duration::from_secs(60), ..options() });
    let (status, found) = served.post("filter", body).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(json(&found)["Nodes"]["items"].as_array().unwrap(), &items);
}

/// How long a connection stays open on which this is sent, a byte at a time.
async fn open_for(served: &Served, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(served.running.address()).await.unwrap();
    let started = Instant::now();
    let mut answer = Vec::new();
    for byte in bytes {
        // Whoever has been cut off may notice only now.
        let _ = stream.write_all(&[*byte]).await;
        let _ = tokio::time::timeout(Duration::from_millis(20), stream.read_buf(&mut answer)).await;
    }
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap().ok();
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    started.elapsed()
}

#[tokio::test]
async fn a_head_that_comes_slowly_or_not_at_all_is_not_waited_for() {
    // The server's clock has steps of half a second.
    let served = serve(ServerOptions { head_timeout: Duration::from_millis(1_200), ..options() });
    for begun in [&b""[..], b"POST /v1/filter HTTP/1.1\r\nHost: l\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let open = open_for(&served, begun).await;
        assert!(open < Duration::from_secs(5), "{open:?}");
    }
    assert_eq!(served.post("filter", args("p", &["a"])).await.0, 200);
}

#[tokio::test]
async fn a_head_of_any_size_is_not_read() {
    let served = serve(options());
    let mut stream = TcpStream::connect(served.running.address()).await.unwrap();
    stream.write_all(b"POST /v1/filter HTTP/1.1\r\nHost: l\r\nX-Large: ").await.unwrap();
    let line = vec![b'a'; 1 << 20];
    let mut sent = 0;
    while sent < 64 && stream.write_all(&line).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 64, "the server has read 64 MB of a head");
}

#[tokio::test]
async fn more_connections_than_there_may_be_wait_and_are_served_when_others_close() {
    let limits = ServerOptions { workers: 1, max_connections: 2, ..options() };
    let served = serve(ServerOptions { head_timeout: Duration::from_millis(1_200), ..limits });
    let idle = [(); 2].map(|()| TcpStream::connect(served.running.address()));
    let idle = futures::future::try_join_all(idle).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    assert_eq!(served.post("filter", args("p", &["a"])).await.0, 200);
    assert!(started.elapsed() > Duration::from_millis(200), "it was served beside them");
    drop(idle);
}

/// An answer larger than what is taken of it holds its connection, the only one there may be, for a time and no longer.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_does_not_read_the_answer_is_cut_off() {
    let served = serve(ServerOptions { workers: 1, max_connections: 1, ..options() });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(served.running.address()).await.unwrap();
    let names: Vec<String> = (0..20_000).map(|at| format!("node-{at}")).collect();
    let body = args("p", &names.iter().map(String::as_str).collect::<Vec<_>>());
    let head = format!("POST /v1/filter HTTP/1.1\r\nHost: l\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let started = Instant::now();
    assert_eq!(served.post("filter", args("p", &["a"])).await.0, 200);
    let waited = started.elapsed();
    assert!((5..20).contains(&waited.as_secs()), "the next had to wait for {waited:?}");
    assert!(stream.read_to_end(&mut vec![]).await.is_err(), "it got the whole answer");
}

#[tokio::test]
async fn more_requests_at_a_time_than_there_may_be_are_refused_at_once_until_others_are_answered() {
    let served = serve(ServerOptions { max_in_flight: 2, ..options() });
    let ask = |pod| served.post("filter", args(pod, &["a"]));
    // The one worker is busy with the first; of those that come meanwhile two may wait.
    let behind_it = async {
        served.fake.begun.acquire().await.unwrap().forget();
        futures::future::join_all((0..5).map(|_| ask("p"))).await
    };
    let (first, others) = tokio::join!(ask("takes-long"), behind_it);
    assert_eq!(first.0, 200);
    let refused: Vec<_> = others.iter().filter(|(status, _)| *status == 503).collect();
    let text = "testudo: overloaded: 2 requests wait for an answer, no more may; ask again";
    assert!(refused.iter().all(|(_, said)| said == text), "{refused:?}");
    let counted = served.metric("testudo_extender_bad_requests_total{reason=\"overloaded\"}").await;
    assert_eq!((refused.len(), counted), (3, Some(3.0)));
    assert_eq!(others.iter().filter(|(status, _)| *status == 200).count(), 2);
    assert_eq!(ask("p").await.0, 200, "those that have gone still count");
}

/// Ten times as many as may be answered at a time say slowly what they want.
#[tokio::test]
async fn who_is_slow_to_say_what_he_wants_takes_nobodys_place() {
    let served = serve(ServerOptions { max_in_flight: 2, request_timeout: Duration::from_secs(60), ..options() });
    let mut slow = vec![];
    for _ in 0..20 {
        let mut stream = send(&served, "Content-Length: 1000").await;
        stream.write_all(b"{\"Pod\":").await.unwrap();
        slow.push(stream);
    }
    // All of them are being read soon, unless some have been refused.
    for _ in 0..200 {
        if served.metric("testudo_extender_requests_in_flight").await >= Some(20.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..20 {
        let (status, text) = served.post("filter", args("p", &["a"])).await;
        assert_eq!(status, 200, "{text}");
    }
    drop(slow);
}

#[tokio::test]
async fn large_bodies_take_so_much_memory_in_all_and_leave_room_for_small_ones() {
    let limits = ServerOptions { body_limit_bytes: 1_000_000, ..options() };
    let served = serve(ServerOptions { request_timeout: Duration::from_secs(60), ..limits });
    let part = vec![b' '; 900_000];
    // Each has 650 kB beyond its share, all together may have 2 MB.
    let large = (0..4).map(|_| {
        let (served, part) = (&served, &part);
        Box::pin(async move {
            let mut stream = send(served, "Content-Length: 1000000").await;
            // Whoever is refused learns of it when he reads.
            let _ = stream.write_all(part).await;
            rest(stream).await
        })
    });
    let (refused, _, large) = futures::future::select_all(large).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("overloaded: other bodies leave no room for one of this size; ask again"), "{refused}");
    assert_eq!(served.post("filter", args("p", &["a"; 20_000])).await.0, 200, "as many names as there may be");
    drop(large);
    for _ in 0..200 {
        // It is read as a whole, and makes no sense.
        if served.post("filter", part.clone()).await.0 == 400 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("those that have gone still count");
}

#[tokio::test]
async fn bindings_that_wait_are_not_in_the_way_of_others() {
    let served = serve(ServerOptions { max_in_flight: 1, ..options() });
    let ask = async {
        while served.metric("testudo_extender_requests_in_flight").await < Some(1.0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut status = 503;
        for _ in 0..100 {
            status = served.post("filter", args("p", &["a"])).await.0;
            if status == 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        served.fake.permits.add_permits(1);
        status
    };
    let (bound, asked) = tokio::join!(served.post("bind", binding("waits")), ask);
    assert_eq!((bound.0, asked), (200, 200));
}

/// Half-open connections, bodies that come slowly, more than may be answered at a time, and bodies that are too large, all at
/// once: others are answered meanwhile, each in a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_or_too_large_holds_up_nobody_else() {
    let served = serve(ServerOptions { workers: 2, body_limit_bytes: 1_000_000, ..options() });
    let mut open = vec![];
    for _ in 0..100 {
        open.push(TcpStream::connect(served.running.address()).await.unwrap());
    }
    for _ in 0..100 {
        let mut slow = send(&served, "Content-Length: 1000").await;
        slow.write_all(b"{\"Pod\":").await.unwrap();
        open.push(slow);
        open.push(send(&served, "Content-Length: 100000000").await);
    }
    let mut longest = Duration::ZERO;
    for _ in 0..50 {
        let started = Instant::now();
        let (status, text) = served.post("filter", args("p", &["a"])).await;
        assert_eq!(status, 200, "{text}");
        longest = longest.max(started.elapsed());
    }
    // Bodies have a second to come: who waited for one of them would take as long.
    assert!(longest < Duration::from_millis(900), "{longest:?}");
    drop(open);
}

#[tokio::test]
async fn nobody_can_fill_the_log() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("log");
    let no_nodes = "apiVersion: v1\nkind: NodeList\nitems: []\n";
    let (server, log) = serving::start(&folder, no_nodes, serde_json::json!({}));
    let address = serving::address(&log);
    let head = format!("POST /v1/filter HTTP/1.1\r\nHost: l\r\nX-Large: {}\r\n\r\n", "a".repeat(1 << 20));
    for mistake in [&head, "\u{1}\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let _ = stream.write_all(mistake.as_bytes()).await;
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await;
    }
    drop(server);
    assert_eq!(log.iter().collect::<Vec<_>>(), [] as [serde_json::Value; 0]);
}
