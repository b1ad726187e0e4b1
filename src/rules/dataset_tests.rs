use super::*;

struct Files;

impl DataFiles for Files {
    fn read(&self, name: &str, _: &str) -> Result<String, String> {
        match name {
            "hosts.lst" => Ok("ZXhhbXBsZS5jb20=\n\nZXhhbXBsZS5uZXQ=,300\n".to_owned()),
            "broken.lst" => Ok("ZXhhbXBsZS5jb20=\n%%%\n".to_owned()),
            _ => Err("no such file".to_owned()),
        }
    }

    fn may_write(&self, name: &str) -> Result<(), String> {
        if name.starts_with('/') { Err("outside".to_owned()) } else { Ok(()) }
    }
}

fn spec(name: &str, kind: Option<DataKind>, load: Option<&str>, save: Option<&str>) -> DataSpec {
    let source = DataSource { load: load.map(str::to_owned), save: save.map(str::to_owned) };
    DataSpec { name: name.to_owned(), kind, source, memcap_bytes: None, configured: false }
}

#[test]
fn values_are_found_by_their_bytes() {
    let cases: [(DataKind, &str, &[u8]); 6] = [
        (DataKind::String, "YWJj", b"abc"),
        (
            DataKind::Md5,
            "900150983cd24fb0d6963f7d28e17f72",
            b"\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72",
        ),
        (DataKind::Ipv4, "192.0.2.1", &[192, 0, 2, 1]),
        (DataKind::Ip, "192.0.2.1", &[192, 0, 2, 1]),
        (DataKind::Ip, "::ffff:192.0.2.1", &[192, 0, 2, 1]),
        (DataKind::Ip, "::1", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ];
    for (kind, text, bytes) in cases {
        let set = DataSet::new(kind, 1 << 20);
        assert!(set.load(text).is_empty() && set.contains(bytes), "{text}");
        assert!(set.remove(bytes) && !set.contains(bytes) && set.is_empty(), "{text}");
        assert!(set.add(bytes) && !set.add(bytes), "{text}");
    }
    let set = DataSet::new(DataKind::Sha256, 1 << 20);
    assert!(!set.add(b"too short"));
    assert_eq!(set.load("abc\n"), [1]);
}

#[test]
fn what_is_saved_can_be_loaded() {
    for (kind, bytes) in [(DataKind::String, &b"a\nb"[..]), (DataKind::Ip, &[10, 0, 0, 1]), (DataKind::Md5, &[7; 16])] {
        let (set, again) = (DataSet::new(kind, 1 << 20), DataSet::new(kind, 1 << 20));
        assert!(set.add(bytes));
        assert!(again.load(&set.save()).is_empty());
        assert!(again.contains(bytes), "{}", set.save());
    }
}

#[test]
fn beyond_its_memory_nothing_is_added() {
    let set = DataSet::new(DataKind::String, 2 * (3 + VALUE_OVERHEAD_BYTES));
    assert!(set.add(b"one") && set.add(b"two") && !set.add(b"six"));
    assert_eq!((set.len(), set.refused()), (2, 1));
    assert!(set.remove(b"one") && set.add(b"six"));
}

#[test]
fn sets_live_through_generations() {
    let sets = DataSets::with_files(Arc::new(Files));
    let seen = spec("seen", Some(DataKind::String), None, None);
    sets.open(&seen, "", 1).unwrap().add(b"abc");
    assert!(sets.open(&seen, "", 2).unwrap().contains(b"abc"), "what rules have added stays");
    let hosts = spec("hosts", Some(DataKind::String), Some("hosts.lst"), None);
    let first = sets.open(&hosts, "", 1).unwrap();
    assert_eq!((first.len(), first.reputation(b"example.net")), (2, Some(300)));
    first.add(b"abc");
    let named = spec("hosts", None, None, None);
    assert!(sets.open(&named, "", 1).unwrap().contains(b"abc"), "one set for all rules");
    assert!(!sets.open(&hosts, "", 2).unwrap().contains(b"abc"), "read anew");
}

#[test]
fn what_cannot_be_is_told() {
    let sets = DataSets::with_files(Arc::new(Files));
    let open = |spec: DataSpec| sets.open(&spec, "", 1).map(|_| ());
    let string = Some(DataKind::String);
    assert_eq!(open(spec("a", None, None, None)), Err(DataError::Unknown));
    assert_eq!(open(spec("a", string, None, None)), Ok(()));
    assert_eq!(open(spec("a", Some(DataKind::Md5), None, None)), Err(DataError::OtherKind(DataKind::String)));
    assert_eq!(open(spec("a", string, Some("hosts.lst"), None)), Err(DataError::OtherSource));
    assert_eq!(open(spec("b", string, Some("nowhere"), None)), Err(DataError::File("no such file".to_owned())));
    assert_eq!(open(spec("c", string, Some("broken.lst"), None)), Err(DataError::Lines(vec![2])));
    assert_eq!(open(spec("d", string, None, Some("/etc/x"))), Err(DataError::File("outside".to_owned())));
    assert_eq!(open(spec("e", string, Some("new.lst"), Some("new.lst"))), Ok(()), "a state begins empty");
    assert_eq!(sets.to_save(), [("new.lst".to_owned(), String::new())]);
}
