//! Rule evaluation: a packet's buffers against the rule set.
