//! Protocols whose every message is a transaction by itself: nothing has to come before a rule can judge it.

use std::fmt::Debug;

use serde::{Serialize, Serializer};

use super::{AppRecord, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::{AppTest, Field};
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::{NumberTest, Toward};

/// Bytes that are mostly text, as EVE writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<u8>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Text {
        Text(bytes.to_vec())
    }
}

/// What one message says.
pub trait Message: Debug + Send {
    /// The `nth` instance of a buffer.
    fn buffer(&self, _buffer: Buffer, _nth: usize) -> Option<&[u8]> {
        None
    }

    /// Whether a number of the message, or one of several, satisfies the test.
    fn number(&self, _field: Field, _test: NumberTest) -> bool {
        false
    }

    /// Whether a test that is neither about a buffer nor about a number holds.
    fn accepts(&self, _test: &AppTest) -> bool {
        false
    }

    fn record(&self) -> Option<AppRecord>;

    /// Heap that it holds, roughly.
    fn heap_bytes(&self) -> usize;
}

/// A message as transaction.
#[derive(Debug)]
pub struct Lone<M> {
    message: M,
    events: Vec<&'static str>,
    told: bool,
}

impl<M> Lone<M> {
    #[must_use]
    pub fn new(message: M, events: Vec<&'static str>) -> Lone<M> {
        Lone { message, events, told: false }
    }
}

impl<M: Message> Transaction for Lone<M> {
    fn buffer(&self, buffer: Buffer, _toward: Toward, nth: usize) -> Option<&[u8]> {
        self.message.buffer(buffer, nth)
    }

    fn accepts(&self, test: &AppTest, _toward: Toward) -> bool {
        match test {
            AppTest::Number { field, test } => self.message.number(*field, *test),
            test => self.message.accepts(test),
        }
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, _toward: Toward) -> bool {
        true
    }

    fn record(&self) -> Option<AppRecord> {
        self.message.record()
    }

    fn take_record(&mut self, _ended: bool) -> Option<AppRecord> {
        if std::mem::replace(&mut self.told, true) { None } else { self.record() }
    }
}

/// The transactions of such a protocol.
pub type Messages<M> = Transactions<Lone<M>>;

impl<M: Message> Messages<M> {
    /// One more message from this side.
    pub fn say(&mut self, toward: Toward, message: M, events: Vec<&'static str>, count_max: usize) {
        self.open(Lone::new(message, events), count_max).touch(toward);
    }

    /// Heap of all of them, roughly.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.iter().map(|slot| size_of_val(slot) + slot.data.message.heap_bytes()).sum()
    }
}

/// A message that fills a datagram.
pub trait Datagram: Message + Sized {
    /// The message with its oddities, if the datagram is worth a transaction.
    fn read(toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Option<(Self, Vec<&'static str>)>;
}

/// The parser of a protocol of [`Datagram`]s.
#[derive(Debug)]
pub struct Datagrams<M> {
    messages: Messages<M>,
}

impl<M> Default for Datagrams<M> {
    fn default() -> Self {
        Datagrams { messages: Messages::default() }
    }
}

impl<M: Datagram> Parser for Datagrams<M> {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        if let Some((message, events)) = M::read(toward, bytes, context) {
            self.messages.say(toward, message, events, context.limits.transaction_count_max);
        }
        Step::all(bytes)
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.messages
    }

    fn heap_bytes(&self) -> usize {
        self.messages.heap_bytes()
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
