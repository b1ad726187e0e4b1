//! What rules ask of LDAP's responses, and the names of operations and results.

use super::plan::NumberTest;

/// A question about the responses of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LdapTest {
    pub asks: LdapResponses,
    pub test: NumberTest,
    pub of: WhichOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapResponses {
    Operation,
    ResultCode,
}

/// Of several numbers, which have to satisfy the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichOf {
    Any,
    All,
    /// From 0 on; from -1 down, counted from the last.
    At(i32),
}

impl LdapTest {
    /// `None` is a response that has no such number.
    #[must_use]
    pub fn accepts(&self, values: &[Option<u64>]) -> bool {
        let fits = |value: &Option<u64>| value.is_some_and(|value| self.test.accepts(value));
        match self.of {
            WhichOf::Any => values.iter().any(fits),
            WhichOf::All => !values.is_empty() && values.iter().all(fits),
            WhichOf::At(at) => {
                let from_end = usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX);
                let at = if at < 0 { values.len().checked_sub(from_end) } else { Some(from_end) };
                at.and_then(|at| values.get(at)).is_some_and(fits)
            }
        }
    }
}

/// Operations of LDAP by number, as rules and EVE name them.
pub const LDAP_OPERATIONS: &[(&str, u16)] = &[
    ("bind_request", 0),
    ("bind_response", 1),
    ("unbind_request", 2),
    ("search_request", 3),
    ("search_result_entry", 4),
    ("search_result_done", 5),
    ("modify_request", 6),
    ("modify_response", 7),
    ("add_request", 8),
    ("add_response", 9),
    ("del_request", 10),
    ("del_response", 11),
    ("mod_dn_request", 12),
    ("mod_dn_response", 13),
    ("compare_request", 14),
    ("compare_response", 15),
    ("abandon_request", 16),
    ("search_result_reference", 19),
    ("extended_request", 23),
    ("extended_response", 24),
    ("intermediate_response", 25),
];

/// Results of LDAP by number, as rules and EVE name them.
pub const LDAP_RESULTS: &[(&str, u16)] = &[
    ("success", 0),
    ("operations_error", 1),
    ("protocol_error", 2),
    ("time_limit_exceeded", 3),
    ("size_limit_exceeded", 4),
    ("compare_false", 5),
    ("compare_true", 6),
    ("auth_method_not_supported", 7),
    ("stronger_auth_required", 8),
    ("referral", 10),
    ("admin_limit_exceeded", 11),
    ("unavailable_critical_extension", 12),
    ("confidentiality_required", 13),
    ("sasl_bind_in_progress", 14),
    ("no_such_attribute", 16),
    ("undefined_attribute_type", 17),
    ("inappropriate_matching", 18),
    ("constraint_violation", 19),
    ("attribute_or_value_exists", 20),
    ("invalid_attribute_syntax", 21),
    ("no_such_object", 32),
    ("alias_problem", 33),
    ("invalid_dns_syntax", 34),
    ("alias_dereferencing_problem", 36),
    ("inappropriate_authentication", 48),
    ("invalid_credentials", 49),
    ("insufficient_access_rights", 50),
    ("busy", 51),
    ("unavailable", 52),
    ("unwilling_to_perform", 53),
    ("loop_detect", 54),
    ("naming_violation", 64),
    ("object_class_violation", 65),
    ("not_allowed_on_non_leaf", 66),
    ("not_allowed_on_rdn", 67),
    ("entry_already_exists", 68),
    ("object_class_mods_prohibited", 69),
    ("affects_multiple_dsas", 71),
    ("other", 80),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_choose_responses() {
        let values = [Some(4), None, Some(5)];
        for (of, wanted, holds) in [
            (WhichOf::Any, 5, true),
            (WhichOf::Any, 6, false),
            (WhichOf::All, 4, false),
            (WhichOf::At(0), 4, true),
            (WhichOf::At(1), 4, false),
            (WhichOf::At(-1), 5, true),
            (WhichOf::At(-3), 4, true),
            (WhichOf::At(-4), 4, false),
            (WhichOf::At(3), 5, false),
        ] {
            let test = LdapTest { asks: LdapResponses::Operation, test: NumberTest::Equal(wanted), of };
            assert_eq!(test.accepts(&values), holds, "{of:?} {wanted}");
        }
        let all = LdapTest { asks: LdapResponses::Operation, test: NumberTest::Equal(1), of: WhichOf::All };
        assert!(!all.accepts(&[]));
        assert!(all.accepts(&[Some(1), Some(1)]));
    }
}
