#!/bin/sh
# A query, an upload and events with curl:  sh curl.sh MODEL IMAGE
#
# If the server requires an access token, set SCV_TOKEN.
set -eu
server=${SCV_SERVER:-http://127.0.0.1:8000}
model=$1
image=$2

ask() {
    curl --silent --show-error --fail-with-body --header "Authorization: Bearer ${SCV_TOKEN:-}" "$@"
}

# A question, with the model's name as a variable.
answer=$(ask "$server/graphql" --json "{
    \"query\": \"query(\$name: String!) { model(name: \$name) { version(alias: \\\"latest\\\") { id accuracy } } }\",
    \"variables\": { \"name\": \"$model\" }
}")
echo "$answer"
version=$(echo "$answer" | sed 's/.*"id":"\([^"]*\)".*/\1/')

# A file goes along as the multipart request specification has it. The header is one that pages of other sites cannot send.
ask "$server/graphql" --header "GraphQL-Preflight: 1" \
    --form-string "operations={
        \"query\": \"mutation(\$input: PredictInput!) { predict(input: \$input) { predictions { class { name } probability } } }\",
        \"variables\": { \"input\": { \"versionId\": \"$version\", \"image\": null } }
    }" \
    --form-string 'map={ "image": ["variables.input.image"] }' \
    --form "image=@$image"
echo

# Work in the background, and its progress as events until it ends.
job=$(ask "$server/graphql" --json "{
    \"query\": \"mutation(\$id: ID!) { evaluateVersion(input: { versionId: \$id }) { job { id } } }\",
    \"variables\": { \"id\": \"$version\" }
}" | sed 's/.*"id":"\([^"]*\)".*/\1/')
ask "$server/graphql" --no-buffer --header "Accept: text/event-stream" --json "{
    \"query\": \"subscription(\$id: ID!) { job(id: \$id) { status progress } }\",
    \"variables\": { \"id\": \"$job\" }
}"
