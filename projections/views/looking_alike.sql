-- Every session id that begins like one of those in $1: what a short id has to differ from.
SELECT session_id
FROM provenance_sessions
WHERE left(session_id, $2::BIGINT) IN (SELECT left(unnest($1::VARCHAR[]), $2::BIGINT))
ORDER BY session_id
