use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::output::eve::tests::{alert, context_options};
use crate::output::spec::{AlertOptions, Destination, RecordTypes, Wanted};
use crate::packet::event::AlertEvent;

const PATIENCE: Duration = Duration::from_secs(10);

fn eve_to(path: &Path) -> EveLog {
    EveLog {
        destination: Destination::File(path.to_owned()),
        types: RecordTypes::default(),
        community_id_seed: None,
        pcap_file: false,
    }
}

fn options(path: &Path) -> SinkOptions {
    context_options(SinkOptions::new(vec![eve_to(path)], None))
}

fn lines(path: &PathBuf) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

#[test]
fn all_that_was_handed_over_is_written_at_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (eve, fast) = (dir.path().join("eve.json"), dir.path().join("fast.log"));
    let fast_log = FastLog { destination: Destination::File(fast.clone()) };
    let (sink, thread) = Sink::start(SinkOptions { fast: Some(fast_log), ..options(&eve) }).unwrap();
    let mut events: Events = (0..5000).map(|_| Event::Alert(Box::new(alert()))).collect();
    sink.events(&mut events);
    sink.stats(StatsSnapshot::default());
    let (counters, ended) = thread.stop(PATIENCE);
    assert!(ended && events.is_empty());
    assert_eq!((lines(&eve), lines(&fast)), (5001, 5000));
    assert_eq!(counters, OutputStats { written: 10_001, ..OutputStats::default() });
    for line in fs::read_to_string(&eve).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

/// A reader that reads nothing stops the writer thread; workers must not notice.
#[test]
fn a_writer_that_hangs_costs_events_and_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eve.sock");
    let _never_accepts = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let spec = EveLog { destination: Destination::UnixStream(path.clone()), ..eve_to(&path) };
    let mut all = context_options(SinkOptions::new(vec![spec], None));
    all.event_count_max = 16;
    let (sink, thread) = Sink::start(all).unwrap();
    let mut slowest = Duration::ZERO;
    for _ in 0..20_000 {
        let event = Event::Alert(Box::new(alert()));
        let start = Instant::now();
        sink.event(event);
        slowest = slowest.max(start.elapsed());
    }
    assert!(sink.counters().shed > 10_000, "{:?}", sink.counters());
    assert!(slowest < Duration::from_millis(500), "the writer waits a second for its socket; we waited {slowest:?}");
    let start = Instant::now();
    let (_, ended) = thread.stop(Duration::from_millis(50));
    assert!(!ended || start.elapsed() < Duration::from_secs(2));
}

/// Large payloads fill the memory long before small ones fill the channel.
#[test]
fn waiting_payloads_have_a_cap_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eve.sock");
    let _never_accepts = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let spec = EveLog { destination: Destination::UnixStream(path.clone()), ..eve_to(&path) };
    let mut all = context_options(SinkOptions::new(vec![spec], None));
    all.payload_bytes_max = 1 << 20;
    let (sink, thread) = Sink::start(all).unwrap();
    for _ in 0..8000 {
        sink.event(Event::Alert(Box::new(AlertEvent { payload: vec![0; 60_000].into(), ..alert() })));
        assert!(sink.shared.payload_bytes.load(Ordering::Relaxed) <= 1 << 20);
    }
    assert!(sink.counters().shed > 4000, "{:?}", sink.counters());
    let _ = thread.stop(Duration::ZERO);
}

#[test]
fn replay_waits_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let eve = dir.path().join("eve.json");
    let (sink, thread) =
        Sink::start(SinkOptions { event_count_max: 4, when_full: WhenFull::Wait, ..options(&eve) }).unwrap();
    for _ in 0..1000 {
        sink.event(Event::Alert(Box::new(alert())));
    }
    let (counters, _) = thread.stop(PATIENCE);
    assert_eq!((lines(&eve), counters.shed), (1000, 0));
}

#[test]
fn after_reopen_the_new_file_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (eve, moved) = (dir.path().join("eve.json"), dir.path().join("eve.json.1"));
    let (sink, thread) = Sink::start(options(&eve)).unwrap();
    sink.event(Event::Alert(Box::new(alert())));
    let deadline = Instant::now() + PATIENCE;
    while sink.counters().written == 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    fs::rename(&eve, &moved).unwrap();
    sink.reopen();
    while !eve.exists() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    sink.event(Event::Alert(Box::new(alert())));
    let _ = thread.stop(PATIENCE);
    assert_eq!((lines(&moved), lines(&eve)), (1, 1));
}

#[test]
fn events_after_stop_are_counted_as_shed() {
    let dir = tempfile::tempdir().unwrap();
    let (sink, thread) = Sink::start(options(&dir.path().join("eve.json"))).unwrap();
    let _ = thread.stop(PATIENCE);
    sink.event(Event::Alert(Box::new(alert())));
    assert_eq!(sink.counters().shed, 1);
}

#[test]
fn a_full_disk_is_counted_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let eve = dir.path().join("eve.json");
    let full = EveLog { destination: Destination::File(PathBuf::from("/dev/full")), ..eve_to(&eve) };
    let mut both = options(&eve);
    both.eve.push(full);
    let (sink, thread) = Sink::start(both).unwrap();
    for _ in 0..10 {
        sink.event(Event::Alert(Box::new(alert())));
    }
    let (counters, ended) = thread.stop(PATIENCE);
    assert!(ended);
    assert_eq!((counters.written, counters.lost, lines(&eve)), (10, 10, 10));
    assert!(counters.write_errors >= 1);
}

#[test]
fn alerts_carry_what_the_hungriest_log_wants() {
    let path = Path::new("eve.json");
    let with = |alert| EveLog { types: RecordTypes { alert, ..RecordTypes::default() }, ..eve_to(path) };
    let payload = Some(AlertOptions { payload: true, payload_bytes_max: 100, ..AlertOptions::default() });
    let packet = Some(AlertOptions { packet: true, ..AlertOptions::default() });
    assert_eq!(Wanted::of(&[with(None), eve_to(path)]), Wanted::default());
    assert_eq!(Wanted::of(&[with(payload), with(packet)]), Wanted { payload_bytes_max: 100, packet: true });
}
