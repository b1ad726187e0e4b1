//! FTP's data channel: one file, in the direction of whoever sends.

use super::record::FtpDataRecord;
use crate::packet::app::expected::Transfer;
use crate::packet::app::record::FileAccount;
use crate::packet::app::{AppRecord, File, Hashes, ParseContext, Parser, Step, Transaction, Transactions, TxList};
use crate::rules::app::AppTest;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

#[derive(Debug, Default)]
pub struct FtpData {
    transfer: Transfer,
    transactions: Transactions<FtpDataTx>,
}

impl FtpData {
    #[must_use]
    pub fn of(transfer: Transfer) -> FtpData {
        FtpData { transfer, transactions: Transactions::default() }
    }

    fn tx(&mut self, toward: Toward, hashes: Hashes) -> Option<&mut FtpDataTx> {
        if self.transactions.opened() == 0 {
            let file = File::open(&self.transfer.file_name, hashes);
            let tx = FtpDataTx { transfer: self.transfer.clone(), file, toward, told: false };
            // Rules about the transfer look from both sides, whoever sends.
            let slot = self.transactions.open(tx, 1);
            slot.touch(toward);
            slot.touch(opposite(toward));
        }
        self.transactions.last_mut().map(|slot| {
            slot.touch(toward);
            &mut slot.data
        })
    }
}

fn opposite(toward: Toward) -> Toward {
    match toward {
        Toward::Server => Toward::Client,
        Toward::Client => Toward::Server,
    }
}

impl Parser for FtpData {
    fn parse(&mut self, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Step {
        if let Some(tx) = self.tx(toward, context.hashes)
            && tx.toward == toward
        {
            tx.file.append(bytes, context.limits.body_bytes_max);
        }
        Step::all(bytes)
    }

    fn gap(&mut self, toward: Toward, missing: u64, context: &ParseContext<'_>) -> Step {
        if let Some(tx) = self.tx(toward, context.hashes) {
            tx.file.skip(missing);
        }
        Step::Taken { consumed: 0, wanted: 0 }
    }

    fn close(&mut self, toward: Toward, _context: &ParseContext<'_>) {
        if let Some(slot) = self.transactions.last_mut()
            && slot.data.toward == toward
        {
            slot.data.file.close(false);
            slot.touch(toward);
        }
    }

    fn transactions(&mut self) -> &mut dyn TxList {
        &mut self.transactions
    }

    fn heap_bytes(&self) -> usize {
        self.transactions.iter().map(|slot| size_of::<FtpDataTx>() + slot.data.file.heap_bytes()).sum()
    }
}

#[derive(Debug)]
struct FtpDataTx {
    transfer: Transfer,
    file: File,
    /// Whom the bytes go to.
    toward: Toward,
    told: bool,
}

impl FtpDataTx {
    fn data_record(&self) -> AppRecord {
        let Transfer { command, file_name } = self.transfer.clone();
        AppRecord::FtpData(Box::new(FtpDataRecord { file_name, command }))
    }
}

impl Transaction for FtpDataTx {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        match buffer {
            Buffer::FILE_DATA if nth == 0 && toward == self.toward => Some(self.file.data()),
            Buffer::FILE_MAGIC if nth == 0 && toward == self.toward => self.file.magic(),
            Buffer::FILE_NAME if nth == 0 && toward == self.toward => Some(self.file.name()),
            _ => None,
        }
    }

    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        match test {
            // Suricata's directions: a file that is fetched goes to the client, whoever opened the connection.
            AppTest::FtpData { command } => {
                let side = if *command == "RETR" { Toward::Client } else { Toward::Server };
                self.transfer.command == *command && toward == side
            }
            AppTest::File(tests) => toward == self.toward && self.file.accepts(tests),
            _ => false,
        }
    }

    fn each_file(&mut self, visit: &mut dyn FnMut(Toward, &mut File)) {
        visit(self.toward, &mut self.file);
    }

    fn is_done(&self, _toward: Toward) -> bool {
        !self.file.is_open()
    }

    fn record(&self) -> Option<AppRecord> {
        Some(self.data_record())
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        if ended {
            self.file.close(true);
        }
        if let Some(file) = self.file.take_record() {
            let of = Some(self.data_record());
            return Some(AppRecord::File(Box::new(FileAccount { file, toward: self.toward, of })));
        }
        let due = !self.file.is_open() && !std::mem::replace(&mut self.told, true);
        due.then(|| self.data_record())
    }
}
