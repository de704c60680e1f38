//! A limit on everything, with its name and its reason. Relations between limits are checked when the crate compiles.

/// Bytes of one event's line. A longer line is rejected: one log record of this size is already a mistake.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// Bytes of one message after inflation: a zip bomb ends here.
pub const MESSAGE_INFLATED_BYTES_MAX: usize = 64 << 20;
/// Messages that one larger message becomes where it is cut: a body of 64 MiB at 64 KiB each.
pub const SPLIT_PIECES_MAX: usize = 1_024;
/// Buckets of one histogram, each of which becomes a row: exponential ones have 160 by default.
pub const HISTOGRAM_BUCKETS_MAX: usize = 1_000;
/// Levels of lists and maps in one attribute.
pub const ATTRIBUTE_DEPTH_MAX: usize = 32;
/// Bad lines of one message that are handed back one by one; where there are more, the whole message stands for the rest.
pub const REJECTED_LINES_MAX: usize = 1_000;
/// Characters of the reason why an event was rejected: it stands in a header and in the log.
pub const REASON_CHARS_MAX: usize = 300;
/// Bytes of one token of a subject that squelch makes: a line of the protocol holds 4,096.
pub const SUBJECT_TOKEN_BYTES_MAX: usize = 256;
/// Bytes of the subject that rejected input goes out on, for the same reason.
pub const REJECTED_SUBJECT_BYTES_MAX: usize = 3_500;
/// Connections of one address that listens; a silent one costs a few kilobytes.
pub const HTTP_CONNECTIONS_MAX: usize = 20_000;
/// Requests under way on one HTTP/2 connection.
pub const HTTP_STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// Bytes of one body that is taken in, where `intake.body_bytes` is not set: what OTLP allows.
pub const INTAKE_BODY_BYTES_MAX: usize = 64 << 20;
/// Bytes of one syslog message: a UDP datagram holds no more.
pub const SYSLOG_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Bytes of syslog messages that are stored together.
pub const SYSLOG_BATCH_BYTES_MAX: usize = 256 << 10;
/// Connections that send syslog.
pub const SYSLOG_CONNECTIONS_MAX: usize = 4_096;
/// Bytes of the file of a sender's token.
pub const TOKEN_FILE_BYTES_MAX: u64 = 64 << 10;
/// Characters of a header that is stored beside a message.
pub const HEADER_CHARS_MAX: usize = 256;
/// Columns of one Arrow stream. Tables have ten; the rest are labels.
pub const ARROW_COLUMNS_MAX: usize = 4_096;
/// Unknown words of severity and status that are counted one by one; the others share a count.
pub const UNKNOWN_WORDS_MAX: usize = 50;
/// Characters of one such word.
pub const UNKNOWN_WORD_CHARS_MAX: usize = 40;
/// Bytes of one command: a note for people, or a list of matchers.
pub const COMMAND_BYTES_MAX: usize = 64 << 10;
/// Characters of a sender's name, a comment or an owner.
pub const COMMAND_TEXT_CHARS_MAX: usize = 2_000;
/// Matchers of one silence.
pub const MATCHERS_PER_SILENCE_MAX: usize = 50;
/// Alerts that one command names.
pub const ALERTS_PER_COMMAND_MAX: usize = 1_000;
/// Commands that wait for the first event: before it there is no time at which they could count.
pub const COMMANDS_WAITING_MAX: usize = 1_000;
/// Commands whose ids are remembered, so that one that is sent twice counts once.
pub const COMMANDS_REMEMBERED_MAX: usize = 10_000;
/// Silences and maintenances held at once, those included that have ended lately. Beyond it a new one is refused.
pub const SILENCES_MAX: usize = 10_000;
/// How long an ended silence is still shown, as Alertmanager does.
pub const SILENCE_RETENTION_MS: i64 = 5 * 24 * 3_600_000;
/// Notes on one incident; beyond it a new one is refused.
pub const NOTES_PER_INCIDENT_MAX: usize = 100;
/// How much older than event time a command may be: what was asked about the state of long ago must not change the state of now.
pub const COMMAND_AGE_MAX_MS: i64 = 3_600_000;
/// Labels kept of one external alert; the rest are left out.
pub const EXTERNAL_LABELS_MAX: usize = 128;
/// Groups of one aggregate, or label sets that a rule remembers. Over it the first stay and the rest is counted.
pub const GROUPS_PER_TABLE_MAX: usize = 1_000_000;
/// Keys that all rules that group a stream alike intern together: as many as a few rules at their limit have.
pub const KEYS_PER_SPACE_MAX: usize = 4_000_000;
/// Samples that functions over series keep of one pane, as rows come out of order: some 200 MB.
pub const SAMPLES_PER_PANE_MAX: usize = 4_000_000;
/// Rows that a rule keeps as they came, in all its windows, where its plan needs them.
pub const ROWS_RETAINED_MAX: usize = 1_000_000;
/// Bytes of such rows.
pub const ROWS_RETAINED_BYTES_MAX: usize = 256 << 20;
/// Rows that all parts of one evaluation may make above the aggregates: a join of everything with everything ends here.
pub const ROWS_PER_EVALUATION_MAX: usize = 10_000_000;
/// Pairs of rows that the joins of one evaluation may compare: some seconds of work.
pub const PAIRS_PER_EVALUATION_MAX: usize = 100_000_000;
/// Bytes that the joins and sorts of one evaluation may hold.
pub const EVALUATION_BYTES_MAX: usize = 512 << 20;
/// Rows of one result. Each would become an alert, and a rule may have far fewer of those.
pub const RESULT_ROWS_MAX: usize = 1_000_000;
/// How long a rule that broke a limit rests, in event time, before it begins anew with empty windows.
pub const QUARANTINE_MS: i64 = 600_000;
/// How far an event of a recording may lie after all before it without many others that confirm it: a year.
pub const RECORDING_GAP_MS: i64 = 366 * 24 * 3_600_000;
/// Lines of a recording that are read ahead where a time jumps.
pub const RECORDING_LOOKAHEAD_LINES: usize = 100;
/// Panes in one window of one rule: a day by 10 seconds is 8,640.
pub const PANES_PER_WINDOW_MAX: i64 = 10_000;
/// Values that the history of one label set remembers, evenly spaced over its time.
pub const VALUES_PER_HISTORY_MAX: usize = 2_000;
/// Different contents of one column that a change remembers at once for one key: versions that run side by side are few.
pub const VALUES_PER_CHANGE_KEY_MAX: usize = 64;
/// Steps in one sequence. With it, the events of a key always have room for every step that is still needed.
pub const STEPS_PER_SEQUENCE_MAX: usize = 12;
/// Recent events that a sequence remembers of one key.
pub const EVENTS_PER_SEQUENCE_KEY_MAX: usize = 64;
/// Alerts that one rule holds at once. Over it the most severe stay, then one of each entity, then the earliest; the rest is counted.
pub const ALERTS_PER_RULE_MAX: usize = 10_000;
/// Alerts that have ended, in one incident. Of more, those go first for which another of their rule and entity stands, then the least severe
/// and the latest. Every alert that fires is kept: rules and other systems bound how many there are.
pub const ENDED_ALERTS_PER_INCIDENT_MAX: usize = 10_000;
/// Alerts in one message: the cause's, what changed, the newest, and the worst. The message counts the rest.
pub const ALERTS_PER_MESSAGE_MAX: usize = 100;
/// Entities that one message lists: those that fail, the worst first.
pub const ENTITIES_PER_MESSAGE_MAX: usize = 200;
/// Rules of which one message says how many of their alerts it leaves out: those with the most.
pub const LEFT_OUT_RULES_MAX: usize = 20;
/// Links in one message: the strongest.
pub const LINKS_PER_MESSAGE_MAX: usize = 100;
/// Links kept in one incident: of more, the strongest.
pub const LINKS_PER_INCIDENT_MAX: usize = 2_000;
/// Rows of one lookup: a table that people write, which is joined anew at each evaluation.
pub const LOOKUP_ROWS_MAX: usize = 50_000;
/// Bytes of one lookup file.
pub const LOOKUP_FILE_BYTES_MAX: u64 = 8 << 20;
/// Bytes of one rule file.
pub const RULE_FILE_BYTES_MAX: u64 = 256 << 10;
/// Steps that one template may take for one alert: a line for a person takes a few hundred.
pub const TEMPLATE_FUEL_MAX: u64 = 50_000;
/// Bytes that one template may write for one alert: more than a page, and no pager shows as much.
pub const TEMPLATE_BYTES_MAX: usize = 16 << 10;
/// Bytes of one topology file.
pub const TOPOLOGY_FILE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of one mapping of signals.
pub const SIGNALS_FILE_BYTES_MAX: u64 = 1 << 20;
/// Lines of one mapping of signals: each name that is new is compared with all of them once.
pub const SIGNAL_LINES_MAX: usize = 5_000;
/// Names of metrics whose matching lines are kept; with more of them, lines are looked for again.
pub const SIGNAL_NAMES_MAX: usize = 100_000;
/// Nodes that one look at the graph around an entity finds; the nearest stay.
pub const REACH_NODES_MAX: usize = 10_000;
/// Edges that one such look follows.
pub const REACH_EDGES_MAX: usize = 200_000;
/// Edges that are learned, or may be soon. What comes after them is counted.
pub const LEARNED_EDGES_MAX: usize = 100_000;
/// Edges seen in intervals of time that are not over yet, each once a interval.
pub const LEARNING_PENDING_MAX: usize = 1_000_000;
/// Bytes of a name that is learned: whatever is longer is no service.
pub const LEARNED_NAME_BYTES_MAX: usize = 256;
/// Spans that wait for their parent or their children.
pub const SPANS_REMEMBERED_MAX: usize = 500_000;
/// How far apart the times of a span and its parent may be, in milliseconds.
pub const SPAN_PAIR_MS: i64 = 60_000;
/// Observations of edges are counted in intervals of so many milliseconds, aligned to the epoch: the graph changes at their ends.
pub const LEARN_EVERY_MS: i64 = 30_000;
/// Keys of the topology bucket.
pub const TOPOLOGY_KEYS_MAX: usize = 100_000;
/// Sources whose event time is told apart. Those that come up later are one.
pub const SOURCES_MAX: usize = 1_000;
/// Rows that the engine takes in before it looks at the time again.
pub const ROWS_PER_BATCH_MAX: usize = 65_536;
/// Bytes of messages, inflated, in one such batch: a few messages of the largest size, or very many of the usual.
pub const BYTES_PER_BATCH_MAX: usize = 32 << 20;
/// Partitions of the work.
pub const PARTITIONS_MAX: usize = 256;
/// Rows that a worker counts in before it says so. The more there are, the more of them share a group and cost one state.
pub const ROWS_PER_PART_MAX: usize = 4 * ROWS_PER_BATCH_MAX;
/// Bytes of what a worker says at once.
pub const PART_BYTES_MAX: usize = 1 << 30;
/// Parts of one rule's plan, with each WITH written out where it is used.
pub const PLAN_NODES_MAX: usize = 1_000;
/// Parts of one expression, with the columns that it stands on written out.
pub const EXPRESSION_NODES_MAX: usize = 10_000;
/// How many times its input a text may become.
pub const TEXT_GROWTH_MAX: usize = 256;
/// Bytes of one regular expression.
pub const PATTERN_BYTES_MAX: usize = 1_000;
/// Bytes of SQL nesting are bounded by this many levels.
pub const SQL_DEPTH_MAX: usize = 50;
/// Words and signs of one rule's SQL.
pub const SQL_TOKENS_MAX: usize = 20_000;
/// Levels of a rule's syntax tree, of its plan, and of each expression with the columns that it stands on written out. Whoever walks
/// through one of them, to plan, to evaluate, or only to free it, needs so many steps of a thread's stack.
pub const TREE_DEPTH_MAX: usize = 150;
/// Tables and queries that stand after FROM and JOIN in one rule.
pub const TABLES_READ_MAX: usize = 64;
/// Stack of the thread that reads rules before they are known to keep to these limits: a level may take a token or two.
pub const CHECK_STACK_BYTES: usize = 256 << 20;
/// Bytes of one template.
pub const TEMPLATE_SOURCE_BYTES_MAX: usize = 16 << 10;
/// Errors of one rule file that are told; more are counted.
pub const ERRORS_PER_FILE_MAX: usize = 100;
/// Bytes of squelch.yaml.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;
/// Receivers in squelch.yaml.
pub const RECEIVERS_MAX: usize = 100;
/// Routes in squelch.yaml.
pub const ROUTES_MAX: usize = 1_000;
/// The shortest time that a request to a receiver may take, in milliseconds.
pub const RECEIVER_TIMEOUT_MS_MIN: i64 = 100;
/// The longest.
pub const RECEIVER_TIMEOUT_MS_MAX: i64 = 120_000;
/// Incidents that wait for one receiver in memory. What comes after them waits in the stream.
pub const INCIDENTS_QUEUED_MAX: usize = 1_000;
/// Incidents that one digest describes; it counts the others.
pub const DIGEST_LINES_MAX: usize = 25;
/// Incidents in one digest.
pub const DIGEST_MEMBERS_MAX: usize = 500;
/// Bytes of a receiver's answer that are read.
pub const RECEIVER_ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes of one request that a receiver's service sends back.
pub const REPLY_BYTES_MAX: usize = 1 << 20;
/// Steps that the template of a notification may take: it may go through all alerts of a message.
pub const NOTIFICATION_TEMPLATE_FUEL_MAX: u64 = 1_000_000;
/// Bytes that it may write.
pub const NOTIFICATION_TEMPLATE_BYTES_MAX: usize = 256 << 10;
/// Bytes of a file of tests.
pub const TEST_FILE_BYTES_MAX: u64 = 16 << 20;
/// Samples of one series of a test.
pub const TEST_SAMPLES_MAX: usize = 1_000_000;
/// Characters of one text of a message that a page shows.
pub const PAGE_TEXT_CHARS_MAX: usize = 2_000;
/// Lines of one such text.
pub const PAGE_TEXT_LINES_MAX: usize = 50;
/// Incidents on one page of a list.
pub const PAGE_INCIDENTS_MAX: usize = 500;
/// Revisions of incidents, the newest, that a process with pages knows without asking: similar incidents are looked for among these.
pub const PAST_REVISIONS_MAX: usize = 50_000;
/// Bytes of a form that a page posts.
pub const PAGE_FORM_BYTES_MAX: usize = 64 << 10;
/// Pages that listen for news at once.
pub const PAGE_LISTENERS_MAX: usize = 5_000;
/// News that wait for a page that is slow to read; one that misses some is asked to load again.
pub const PAGE_NEWS_MAX: usize = 256;

const _: () = assert!(GROUPS_PER_TABLE_MAX <= RESULT_ROWS_MAX, "every group may breach");
const _: () = assert!(SOURCES_MAX <= 1 << 16, "a source's id is a u16");
const _: () = assert!(EVENT_BYTES_MAX <= MESSAGE_INFLATED_BYTES_MAX, "a message must hold at least one event");
const _: () = assert!(2 * TEMPLATE_BYTES_MAX <= EVENT_BYTES_MAX, "the prose of one alert is small beside a message");
const _: () = assert!(GROUPS_PER_TABLE_MAX <= KEYS_PER_SPACE_MAX, "one rule alone may use all of its limit");
const _: () = assert!(LEARNED_EDGES_MAX <= LEARNING_PENDING_MAX, "every learned edge may be seen in an interval");
const _: () = assert!(SQL_DEPTH_MAX < TREE_DEPTH_MAX, "what the parser takes may still be too deep");
const _: () = assert!(TREE_DEPTH_MAX <= EXPRESSION_NODES_MAX, "a chain may be as long as it may be deep");
const _: () = assert!(TABLES_READ_MAX <= PLAN_NODES_MAX, "each table is a part of the plan");
const _: () =
    assert!(CHECK_STACK_BYTES / SQL_TOKENS_MAX >= 8 << 10, "a level of a tree takes some kilobytes where nothing is optimised");
const _: () = assert!(REACH_NODES_MAX <= REACH_EDGES_MAX, "every node found was found over an edge");
const _: () = assert!(COMMAND_BYTES_MAX <= EVENT_BYTES_MAX, "a command is an event");
