#include "bin/serve_flags.h"
#include "bin/config_file.h"

#include <string.h>

#define NO_TLS    "TLS is not there yet, and a member must not run without the protection that was asked for"
#define NO_AUTH   "authentication is not there yet"
#define NO_FIND   "members are named with --initial-cluster; discovery is not there"
#define NOT_HERE  "there is nothing like it here"
#define IN_MEMORY "the state is in memory and there is no backend file"

#define IGNORED(name, kind, usual, why)                                                                      \
    {                                                                                                        \
        name, QR_FLAG_##kind, QR_FLAG_IGNORED, usual, "", why                                                \
    }
#define REFUSED(name, kind, usual, why)                                                                      \
    {                                                                                                        \
        name, QR_FLAG_##kind, QR_FLAG_REFUSED, usual, "", why                                                \
    }

static const qr_flag table[] = {
#define FLAG(id, name, kind, usual, value, help) {name, QR_FLAG_##kind, QR_FLAG_TAKEN, usual, value, help},
    QR_SERVE_FLAG_LIST(FLAG)
#undef FLAG

        IGNORED("auto-compaction-mode", TEXT, "periodic",
                "history is bounded by its bytes, and compacted on request"),
    IGNORED("auto-compaction-retention", TEXT, "0",
            "history is bounded by its bytes, and compacted on request"),
    IGNORED("backend-batch-interval", TEXT, "", IN_MEMORY),
    IGNORED("backend-batch-limit", TEXT, "0", IN_MEMORY),
    IGNORED("backend-bbolt-freelist-type", TEXT, "array", IN_MEMORY),
    IGNORED("bcrypt-cost", TEXT, "10", NO_AUTH),
    IGNORED("auth-token-ttl", TEXT, "300", NO_AUTH),
    IGNORED("cipher-suites", TEXT, "", "TLS is not there yet"),
    IGNORED("compaction-batch-limit", TEXT, "1000", "compaction takes small slices by itself"),
    IGNORED("compaction-sleep-interval", TEXT, "10ms", "compaction takes small slices by itself"),
    IGNORED("corrupt-check-time", TEXT, "0s", "members compare their state all the time"),
    IGNORED("compact-hash-check-enabled", BOOL, "false", "there is no such check yet"),
    IGNORED("compact-hash-check-time", TEXT, "1m", "there is no such check yet"),
    IGNORED("cors", TEXT, "*", "there is no gateway for browsers"),
    IGNORED("debug", BOOL, "false", "use --log-level=debug"),
    IGNORED("discovery-fallback", TEXT, "proxy", NO_FIND),
    IGNORED("enable-grpc-gateway", BOOL, "true", "the JSON gateway is not there yet"),
    IGNORED("enable-lease-checkpoint", BOOL, "false", "renewals survive a change of leaders"),
    IGNORED("enable-pprof", BOOL, "false", NOT_HERE),
    IGNORED("feature-gates", TEXT, "", NOT_HERE),
    IGNORED("grpc-keepalive-interval", TEXT, "2h", "dead clients are found by TCP"),
    IGNORED("grpc-keepalive-min-time", TEXT, "5s", "clients may ask as often as they like"),
    IGNORED("grpc-keepalive-timeout", TEXT, "20s", "dead clients are found by TCP"),
    IGNORED("initial-corrupt-check", BOOL, "false",
            "what is on the disk carries checksums, which are checked at each start"),
    IGNORED("initial-election-tick-advance", BOOL, "true", "the first election needs no help"),
    IGNORED("log-package-levels", TEXT, "", "there is one level for all"),
    IGNORED("max-concurrent-streams", TEXT, "math.MaxUint32", "each connection has a fixed bound"),
    IGNORED("max-learners", TEXT, "1", "learners are not there yet"),
    IGNORED("max-snapshots", TEXT, "5", "there are no numbered snapshot files"),
    IGNORED("max-wals", TEXT, "5", "there are no numbered log files"),
    IGNORED("metrics", TEXT, "basic", "all metrics are always there"),
    IGNORED("pre-vote", BOOL, "true", "elections always begin with a pre-vote"),
    IGNORED("proxy-dial-timeout", TEXT, "1000", NOT_HERE),
    IGNORED("proxy-failure-wait", TEXT, "5000", NOT_HERE),
    IGNORED("proxy-read-timeout", TEXT, "0", NOT_HERE),
    IGNORED("proxy-refresh-interval", TEXT, "30000", NOT_HERE),
    IGNORED("proxy-write-timeout", TEXT, "5000", NOT_HERE),
    IGNORED("snapshot-catchup-entries", TEXT, "5000", "the log keeps what followers still need by size"),
    IGNORED("strict-reconfig-check", BOOL, "true", "members cannot be changed yet"),
    IGNORED("unsafe-no-fsync", BOOL, "false", "every write is synced before it is acknowledged"),
    IGNORED("warning-apply-duration", TEXT, "100ms", "slow requests are not logged yet"),
    IGNORED("warning-unary-request-duration", TEXT, "300ms", "slow requests are not logged yet"),
    IGNORED("peer-skip-client-san-verification", BOOL, "false", "TLS is not there yet"),

    REFUSED("auth-token", TEXT, "simple", NO_AUTH),
    REFUSED("auto-tls", BOOL, "false", NO_TLS),
    REFUSED("cert-file", TEXT, "", NO_TLS),
    REFUSED("client-cert-allowed-hostname", TEXT, "", NO_TLS),
    REFUSED("client-cert-auth", BOOL, "false", NO_TLS),
    REFUSED("client-crl-file", TEXT, "", NO_TLS),
    REFUSED("client-cert-file", TEXT, "", NO_TLS),
    REFUSED("client-key-file", TEXT, "", NO_TLS),
    REFUSED("key-file", TEXT, "", NO_TLS),
    REFUSED("peer-auto-tls", BOOL, "false", NO_TLS),
    REFUSED("peer-cert-allowed-cn", TEXT, "", NO_TLS),
    REFUSED("peer-cert-allowed-hostname", TEXT, "", NO_TLS),
    REFUSED("peer-cert-file", TEXT, "", NO_TLS),
    REFUSED("peer-client-cert-auth", BOOL, "false", NO_TLS),
    REFUSED("peer-client-cert-file", TEXT, "", NO_TLS),
    REFUSED("peer-client-key-file", TEXT, "", NO_TLS),
    REFUSED("peer-crl-file", TEXT, "", NO_TLS),
    REFUSED("peer-key-file", TEXT, "", NO_TLS),
    REFUSED("peer-trusted-ca-file", TEXT, "", NO_TLS),
    REFUSED("tls-max-version", TEXT, "", NO_TLS),
    REFUSED("tls-min-version", TEXT, "", NO_TLS),
    REFUSED("trusted-ca-file", TEXT, "", NO_TLS),
    REFUSED("host-whitelist", TEXT, "*", "requests are not filtered by host name yet"),
    REFUSED("discovery", TEXT, "", NO_FIND),
    REFUSED("discovery-proxy", TEXT, "", NO_FIND),
    REFUSED("discovery-srv", TEXT, "", NO_FIND),
    REFUSED("discovery-srv-name", TEXT, "", NO_FIND),
    REFUSED("enable-v2", BOOL, "false", "the v2 API is not there"),
    REFUSED("enable-v2v3", TEXT, "", "the v2 API is not there"),
    REFUSED("force-new-cluster", BOOL, "false",
            "use 'quorate restore DATA-DIR', which makes a new cluster of what a member has"),
    REFUSED("listen-client-http-urls", TEXT, "", "one port serves gRPC and HTTP"),
    REFUSED("proxy", TEXT, "off", "there is no proxy mode"),
    REFUSED("wal-dir", TEXT, "", "the log is in the data folder"),
};

qr_flags qr_serve_flags(void)
{
    return (qr_flags){.table = table, .count = sizeof table / sizeof *table, .prefix = "ETCD_"};
}

qr_status qr_serve_parse(qr_flags *flags, int argc, char **argv, char **environment, qr_arena *arena,
                         const char **sentence)
{
    qr_status status = qr_flags_parse(flags, argc, argv, environment, arena, sentence);
    if (status != QR_OK || flags->help || flags->version)
        return status;
    const char *file = qr_flags_text(flags, QR_SERVE_CONFIG_FILE);
    if (file[0] == 0)
        return QR_OK;
    qr_slice text;
    status = qr_config_read(file, arena, &text, sentence);
    return status == QR_OK ? qr_flags_parse_file(flags, file, text, QR_SERVE_CONFIG_FILE, arena, sentence)
                           : status;
}

static void add(qr_buffer *out, const char *text)
{
    qr_buffer_add(out, text, strlen(text));
}

static const char file_help[] =
    "\nCONFIGURATION FILE\n"
    "    One \"name: value\" a line, in the flat part of YAML, at most 64 KiB in all. The names are those "
    "of\n"
    "    the flags, without dashes in front. Values stand plain, between 'single' or \"double\" quotes, or "
    "as\n"
    "    a list in one line: [one, two] is one,two. # begins a comment. A name with nothing behind its "
    "colon\n"
    "    is as if it were not there. Names that are not known or stand there twice, and nested YAML, are\n"
    "    refused with the number of the line.\n"
    "    On SIGHUP log-level, log-format and log-outputs take effect at once; other changes are named in "
    "the\n"
    "    log and wait for a restart. A file with a mistake changes nothing.\n";

void qr_serve_help(qr_buffer *out)
{
    qr_flags flags = qr_serve_flags();
    add(out, "NAME\n"
             "    quorate serve - run one member of a cluster\n\n"
             "SYNOPSIS\n"
             "    quorate serve [FLAGS]\n"
             "    etcd [FLAGS]            (the same binary under etcd's name)\n\n"
             "DESCRIPTION\n"
             "    Serves etcd's v3 API over gRPC, and /health and /version over HTTP, on the client URLs, "
             "and keeps\n"
             "    what is written on a majority of the members. Runs in the foreground until SIGTERM or "
             "SIGINT. The flags\n"
             "    are etcd's: --a-b V, --a-b=V or -a-b V, and the environment variable ETCD_A_B for each of "
             "them (the\n"
             "    command line wins). With --config-file only the file counts.\n\n"
             "    There is no TLS and no authentication yet: whoever reaches the ports may read and write "
             "everything.\n\n"
             "OPTIONS\n");
    qr_flags_help(&flags, out);
    add(out,
        "    --version\n        Print the version and end.\n    --help\n        Print this page and end.\n\n"
        "    Known from etcd, without effect here (a warning is logged):\n");
    qr_flags_names(&flags, QR_FLAG_IGNORED, out);
    add(out, "\n    Known from etcd, refused when set, because they ask for what is not there:\n");
    qr_flags_names(&flags, QR_FLAG_REFUSED, out);
    add(out, file_help);
    add(out, "\nSIGNALS\n"
             "    SIGTERM, SIGINT   stop cleanly: a leader hands over, answers are written, connections are "
             "closed.\n"
             "    SIGHUP            read the configuration file and open the log files again.\n\n"
             "EXIT STATUS\n"
             "    0   stopped by a signal.\n"
             "    1   could not start, or the replica halted (a failed disk, a broken invariant); the last "
             "line says why.\n"
             "    2   the flags, the variables or the configuration file are wrong.\n\n"
             "FILES\n"
             "    The data folder belongs to one member and one process (the file lock). It must be closed "
             "to other\n"
             "    users: mode 0700.\n\n"
             "EXAMPLES\n"
             "    A cluster of one:\n"
             "        quorate serve --data-dir /tmp/one\n"
             "    The first of three, the others with their own name, ports and folder:\n"
             "        quorate serve --name a --data-dir /var/lib/quorate/a \\\n"
             "            --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls "
             "http://10.0.0.1:2379 \\\n"
             "            --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls "
             "http://10.0.0.1:2380 \\\n"
             "            --initial-cluster "
             "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380\n\n"
             "SEE ALSO\n"
             "    quorate local --help, quorate put --help\n");
}
