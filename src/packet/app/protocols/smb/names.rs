//! What SMB's numbers are called, as EVE writes them.

/// SMB1 commands. Those that are not here are written as numbers.
const SMB1_COMMANDS: &[(u8, &str)] = &[
    (0x00, "SMB1_COMMAND_CREATE_DIRECTORY"),
    (0x01, "SMB1_COMMAND_DELETE_DIRECTORY"),
    (0x02, "SMB1_COMMAND_OPEN"),
    (0x03, "SMB1_COMMAND_CREATE"),
    (0x04, "SMB1_COMMAND_CLOSE"),
    (0x05, "SMB1_COMMAND_FLUSH"),
    (0x06, "SMB1_COMMAND_DELETE"),
    (0x07, "SMB1_COMMAND_RENAME"),
    (0x08, "SMB1_COMMAND_QUERY_INFORMATION"),
    (0x09, "SMB1_COMMAND_SET_INFORMATION"),
    (0x0a, "SMB1_COMMAND_READ"),
    (0x0b, "SMB1_COMMAND_WRITE"),
    (0x0c, "SMB1_COMMAND_LOCK_BYTE_RANGE"),
    (0x0d, "SMB1_COMMAND_UNLOCK_BYTE_RANGE"),
    (0x0e, "SMB1_COMMAND_CREATE_TEMPORARY"),
    (0x0f, "SMB1_COMMAND_CREATE_NEW"),
    (0x10, "SMB1_COMMAND_CHECK_DIRECTORY"),
    (0x11, "SMB1_COMMAND_PROCESS_EXIT"),
    (0x12, "SMB1_COMMAND_SEEK"),
    (0x13, "SMB1_COMMAND_LOCK_AND_READ"),
    (0x14, "SMB1_COMMAND_WRITE_AND_UNLOCK"),
    (0x24, "SMB1_COMMAND_LOCKING_ANDX"),
    (0x25, "SMB1_COMMAND_TRANS"),
    (0x2b, "SMB1_COMMAND_ECHO"),
    (0x2c, "SMB1_COMMAND_WRITE_AND_CLOSE"),
    (0x2d, "SMB1_COMMAND_OPEN_ANDX"),
    (0x2e, "SMB1_COMMAND_READ_ANDX"),
    (0x2f, "SMB1_COMMAND_WRITE_ANDX"),
    (0x32, "SMB1_COMMAND_TRANS2"),
    (0x33, "SMB1_COMMAND_TRANS2_SECONDARY"),
    (0x34, "SMB1_COMMAND_FIND_CLOSE2"),
    (0x35, "SMB1_COMMAND_FIND_NOTIFY_CLOSE"),
    (0x71, "SMB1_COMMAND_TREE_DISCONNECT"),
    (0x72, "SMB1_COMMAND_NEGOTIATE_PROTOCOL"),
    (0x73, "SMB1_COMMAND_SESSION_SETUP_ANDX"),
    (0x74, "SMB1_COMMAND_LOGOFF_ANDX"),
    (0x75, "SMB1_COMMAND_TREE_CONNECT_ANDX"),
    (0x80, "SMB1_COMMAND_QUERY_INFO_DISK"),
    (0x81, "SMB1_COMMAND_SEARCH"),
    (0xa0, "SMB1_COMMAND_NT_TRANS"),
    (0xa1, "SMB1_COMMAND_NT_TRANS_SECONDARY"),
    (0xa2, "SMB1_COMMAND_NT_CREATE_ANDX"),
    (0xa4, "SMB1_COMMAND_NT_CANCEL"),
    (0xa5, "SMB1_COMMAND_RENAME"),
    (0xc0, "SMB1_COMMAND_OPEN_PRINT_FILE"),
    (0xc1, "SMB1_COMMAND_WRITE_PRINT_FILE"),
    (0xc2, "SMB1_COMMAND_CLOSE_PRINT_FILE"),
    (0xc3, "SMB1_COMMAND_GET_PRINT_QUEUE"),
    (0xff, "SMB1_COMMAND_NONE"),
];

const SMB2_COMMANDS: [&str; 19] = [
    "SMB2_COMMAND_NEGOTIATE_PROTOCOL",
    "SMB2_COMMAND_SESSION_SETUP",
    "SMB2_COMMAND_SESSION_LOGOFF",
    "SMB2_COMMAND_TREE_CONNECT",
    "SMB2_COMMAND_TREE_DISCONNECT",
    "SMB2_COMMAND_CREATE",
    "SMB2_COMMAND_CLOSE",
    "SMB2_COMMAND_FLUSH",
    "SMB2_COMMAND_READ",
    "SMB2_COMMAND_WRITE",
    "SMB2_COMMAND_LOCK",
    "SMB2_COMMAND_IOCTL",
    "SMB2_COMMAND_CANCEL",
    "SMB2_COMMAND_KEEPALIVE",
    "SMB2_COMMAND_FIND",
    "SMB2_COMMAND_CHANGE_NOTIFY",
    "SMB2_COMMAND_GET_INFO",
    "SMB2_COMMAND_SET_INFO",
    "SMB2_COMMAND_OPLOCK_BREAK",
];

#[must_use]
pub fn command(version: u8, command: u16) -> String {
    let known = match version {
        1 => SMB1_COMMANDS.iter().find(|(number, _)| u16::from(*number) == command).map(|(_, name)| *name),
        _ => SMB2_COMMANDS.get(usize::from(command)).copied(),
    };
    known.map_or_else(|| command.to_string(), str::to_owned)
}

/// NT status codes that are common in traffic ([MS-ERREF] 2.3). Others are written as numbers, as Suricata does with
/// those that it does not know.
const NT_STATUS: &[(u32, &str)] = &[
    (0x0000_0000, "STATUS_SUCCESS"),
    (0x0000_0102, "STATUS_TIMEOUT"),
    (0x0000_0103, "STATUS_PENDING"),
    (0x0000_010b, "STATUS_NOTIFY_CLEANUP"),
    (0x0000_010c, "STATUS_NOTIFY_ENUM_DIR"),
    (0x8000_0005, "STATUS_BUFFER_OVERFLOW"),
    (0x8000_0006, "STATUS_NO_MORE_FILES"),
    (0x8000_001a, "STATUS_NO_MORE_ENTRIES"),
    (0x8000_002d, "STATUS_STOPPED_ON_SYMLINK"),
    (0xc000_0001, "STATUS_UNSUCCESSFUL"),
    (0xc000_0002, "STATUS_NOT_IMPLEMENTED"),
    (0xc000_0003, "STATUS_INVALID_INFO_CLASS"),
    (0xc000_0004, "STATUS_INFO_LENGTH_MISMATCH"),
    (0xc000_0005, "STATUS_ACCESS_VIOLATION"),
    (0xc000_0008, "STATUS_INVALID_HANDLE"),
    (0xc000_000d, "STATUS_INVALID_PARAMETER"),
    (0xc000_000e, "STATUS_NO_SUCH_DEVICE"),
    (0xc000_000f, "STATUS_NO_SUCH_FILE"),
    (0xc000_0010, "STATUS_INVALID_DEVICE_REQUEST"),
    (0xc000_0011, "STATUS_END_OF_FILE"),
    (0xc000_0016, "STATUS_MORE_PROCESSING_REQUIRED"),
    (0xc000_0017, "STATUS_NO_MEMORY"),
    (0xc000_0022, "STATUS_ACCESS_DENIED"),
    (0xc000_0023, "STATUS_BUFFER_TOO_SMALL"),
    (0xc000_0024, "STATUS_OBJECT_TYPE_MISMATCH"),
    (0xc000_0033, "STATUS_OBJECT_NAME_INVALID"),
    (0xc000_0034, "STATUS_OBJECT_NAME_NOT_FOUND"),
    (0xc000_0035, "STATUS_OBJECT_NAME_COLLISION"),
    (0xc000_0039, "STATUS_OBJECT_PATH_INVALID"),
    (0xc000_003a, "STATUS_OBJECT_PATH_NOT_FOUND"),
    (0xc000_003b, "STATUS_OBJECT_PATH_SYNTAX_BAD"),
    (0xc000_0043, "STATUS_SHARING_VIOLATION"),
    (0xc000_004f, "STATUS_EAS_NOT_SUPPORTED"),
    (0xc000_0054, "STATUS_FILE_LOCK_CONFLICT"),
    (0xc000_0055, "STATUS_LOCK_NOT_GRANTED"),
    (0xc000_0056, "STATUS_DELETE_PENDING"),
    (0xc000_005e, "STATUS_NO_LOGON_SERVERS"),
    (0xc000_0061, "STATUS_PRIVILEGE_NOT_HELD"),
    (0xc000_0064, "STATUS_NO_SUCH_USER"),
    (0xc000_006a, "STATUS_WRONG_PASSWORD"),
    (0xc000_006d, "STATUS_LOGON_FAILURE"),
    (0xc000_006e, "STATUS_ACCOUNT_RESTRICTION"),
    (0xc000_006f, "STATUS_INVALID_LOGON_HOURS"),
    (0xc000_0070, "STATUS_INVALID_WORKSTATION"),
    (0xc000_0071, "STATUS_PASSWORD_EXPIRED"),
    (0xc000_0072, "STATUS_ACCOUNT_DISABLED"),
    (0xc000_007f, "STATUS_DISK_FULL"),
    (0xc000_009a, "STATUS_INSUFFICIENT_RESOURCES"),
    (0xc000_00ac, "STATUS_PIPE_NOT_AVAILABLE"),
    (0xc000_00ad, "STATUS_INVALID_PIPE_STATE"),
    (0xc000_00ae, "STATUS_PIPE_BUSY"),
    (0xc000_00b0, "STATUS_PIPE_DISCONNECTED"),
    (0xc000_00b1, "STATUS_PIPE_CLOSING"),
    (0xc000_00b5, "STATUS_IO_TIMEOUT"),
    (0xc000_00ba, "STATUS_FILE_IS_A_DIRECTORY"),
    (0xc000_00bb, "STATUS_NOT_SUPPORTED"),
    (0xc000_00c9, "STATUS_NETWORK_NAME_DELETED"),
    (0xc000_00ca, "STATUS_NETWORK_ACCESS_DENIED"),
    (0xc000_00cc, "STATUS_BAD_NETWORK_NAME"),
    (0xc000_00d0, "STATUS_REQUEST_NOT_ACCEPTED"),
    (0xc000_00d9, "STATUS_PIPE_EMPTY"),
    (0xc000_00e3, "STATUS_REDIRECTOR_NOT_STARTED"),
    (0xc000_0101, "STATUS_DIRECTORY_NOT_EMPTY"),
    (0xc000_0102, "STATUS_FILE_CORRUPT_ERROR"),
    (0xc000_0103, "STATUS_NOT_A_DIRECTORY"),
    (0xc000_0120, "STATUS_CANCELLED"),
    (0xc000_0121, "STATUS_CANNOT_DELETE"),
    (0xc000_0123, "STATUS_FILE_DELETED"),
    (0xc000_0128, "STATUS_FILE_CLOSED"),
    (0xc000_014b, "STATUS_PIPE_BROKEN"),
    (0xc000_015b, "STATUS_LOGON_TYPE_NOT_GRANTED"),
    (0xc000_0184, "STATUS_INVALID_DEVICE_STATE"),
    (0xc000_0193, "STATUS_ACCOUNT_EXPIRED"),
    (0xc000_019c, "STATUS_FS_DRIVER_REQUIRED"),
    (0xc000_0203, "STATUS_USER_SESSION_DELETED"),
    (0xc000_0205, "STATUS_INSUFF_SERVER_RESOURCES"),
    (0xc000_0224, "STATUS_PASSWORD_MUST_CHANGE"),
    (0xc000_0225, "STATUS_NOT_FOUND"),
    (0xc000_0234, "STATUS_ACCOUNT_LOCKED_OUT"),
    (0xc000_0257, "STATUS_PATH_NOT_COVERED"),
    (0xc000_0275, "STATUS_NOT_A_REPARSE_POINT"),
    (0xc000_035c, "STATUS_NETWORK_SESSION_EXPIRED"),
];

/// Its name, or the number in decimal.
#[must_use]
pub fn nt_status(status: u32) -> String {
    let known = NT_STATUS.binary_search_by_key(&status, |(number, _)| *number).ok().and_then(|at| NT_STATUS.get(at));
    known.map_or_else(|| status.to_string(), |(_, name)| (*name).to_owned())
}

/// Errors of SMB1 without NT status: of the class DOS (1) and the class server (2).
const DOS_ERRORS: &[(u8, u16, &str)] = &[
    (1, 0, "SUCCESS"),
    (1, 1, "ERRBADFUNC"),
    (1, 2, "ERRBADFILE"),
    (1, 3, "ERRBADPATH"),
    (1, 4, "ERRNOFIDS"),
    (1, 5, "ERRNOACCESS"),
    (1, 6, "ERRBADFID"),
    (1, 7, "ERRBADMCB"),
    (1, 8, "ERRNOMEM"),
    (1, 18, "ERRNOFILES"),
    (1, 32, "ERRBADSHARE"),
    (1, 33, "ERRLOCK"),
    (1, 50, "ERRUNSUP"),
    (1, 80, "ERRFILEXISTS"),
    (1, 87, "ERRINVALIDPARAM"),
    (1, 123, "ERRINVALIDNAME"),
    (2, 1, "ERRERROR"),
    (2, 2, "ERRBADPW"),
    (2, 4, "ERRACCESS"),
    (2, 5, "ERRINVTID"),
    (2, 6, "ERRINVNETNAME"),
    (2, 7, "ERRINVDEVICE"),
    (2, 64, "ERRSMBCMD"),
    (2, 91, "ERRBADUID"),
];

#[must_use]
pub fn dos_error(class: u8, code: u16) -> String {
    let known = DOS_ERRORS.iter().find(|(known, number, _)| *known == class && *number == code);
    match known {
        Some((_, _, name)) => (*name).to_owned(),
        None if class == 0 && code == 0 => "STATUS_SUCCESS".to_owned(),
        None => format!("UNKNOWN_{class:02x}_{code:04x}"),
    }
}

/// A dialect of SMB2 or SMB3 by its number.
#[must_use]
pub fn dialect(number: u16) -> String {
    match number {
        0x02ff => "2.??".to_owned(),
        0x0202 | 0x0210 | 0x0222 | 0x0224 | 0x0300 | 0x0302 | 0x0310 | 0x0311 => {
            format!("{}.{:02x}", number >> 8, number & 0xff)
        }
        number => format!("unknown_{number}"),
    }
}

/// The functions of IOCTL that are common in traffic ([MS-FSCC] 2.3).
const FUNCTIONS: &[(u32, &str)] = &[
    (0x0006_0194, "FSCTL_DFS_GET_REFERRALS"),
    (0x0006_01b0, "FSCTL_DFS_GET_REFERRALS_EX"),
    (0x0009_0028, "FSCTL_IS_VOLUME_MOUNTED"),
    (0x0009_00a4, "FSCTL_SET_REPARSE_POINT"),
    (0x0009_00a8, "FSCTL_GET_REPARSE_POINT"),
    (0x0009_00c0, "FSCTL_CREATE_OR_GET_OBJECT_ID"),
    (0x0009_009c, "FSCTL_GET_OBJECT_ID"),
    (0x0009_00bb, "FSCTL_READ_FILE_USN_DATA"),
    (0x0009_0240, "FSCTL_FILE_LEVEL_TRIM"),
    (0x0011_000c, "FSCTL_PIPE_PEEK"),
    (0x0011_0018, "FSCTL_PIPE_WAIT"),
    (0x0011_c017, "FSCTL_PIPE_TRANSCEIVE"),
    (0x0014_0078, "FSCTL_SRV_REQUEST_RESUME_KEY"),
    (0x0014_01bb, "FSCTL_SRV_READ_HASH"),
    (0x0014_01d4, "FSCTL_LMR_REQUEST_RESILIENCY"),
    (0x0014_01fc, "FSCTL_QUERY_NETWORK_INTERFACE_INFO"),
    (0x0014_0204, "FSCTL_VALIDATE_NEGOTIATE_INFO"),
    (0x0014_4064, "FSCTL_SRV_ENUMERATE_SNAPSHOTS"),
    (0x0014_40f2, "FSCTL_SRV_COPYCHUNK"),
    (0x0014_80f2, "FSCTL_SRV_COPYCHUNK_WRITE"),
];

#[must_use]
pub fn function(number: u32) -> String {
    let known = FUNCTIONS.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// What a CREATE does where the file exists or does not.
#[must_use]
pub fn disposition(number: u32) -> &'static str {
    const NAMES: [&str; 6] =
        ["FILE_SUPERSEDE", "FILE_OPEN", "FILE_CREATE", "FILE_OPEN_IF", "FILE_OVERWRITE", "FILE_OVERWRITE_IF"];
    let name = usize::try_from(number).ok().and_then(|number| NAMES.get(number));
    name.copied().unwrap_or("UNKNOWN")
}

#[must_use]
pub fn share_type(number: u8) -> &'static str {
    match number {
        1 => "FILE",
        2 => "PIPE",
        3 => "PRINT",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_in_order_and_numbers_have_names() {
        assert!(NT_STATUS.is_sorted_by(|(before, _), (after, _)| before < after));
        assert_eq!(nt_status(0xc000_0022), "STATUS_ACCESS_DENIED");
        assert_eq!(nt_status(7), "7");
        assert_eq!((dialect(0x0202), dialect(0x0311)), ("2.02".to_owned(), "3.11".to_owned()));
        assert_eq!(command(1, 0xa2), "SMB1_COMMAND_NT_CREATE_ANDX");
        assert_eq!(command(2, 5), "SMB2_COMMAND_CREATE");
        assert_eq!(dos_error(1, 5), "ERRNOACCESS");
    }
}
