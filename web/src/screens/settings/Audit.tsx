import { usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { AuditQuery } from "../../gql/graphql";
import { Answer } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { moment, NONE } from "../../ui/format";
import { More } from "../../ui/More";
import { Table } from "../../ui/Table";

const AUDIT = graphql(`
	query Audit($after: String) {
		auditLog(first: 50, after: $after) {
			pageInfo {
				hasNextPage
				endCursor
			}
			edges {
				cursor
				node {
					at
					account
					address
					mutation
					code
				}
			}
		}
	}
`);

type Entry = AuditQuery["auditLog"]["edges"][number];

const COLUMNS: readonly Column<Entry>[] = [
	{ name: "When", cell: ({ node }) => moment(node.at) },
	{ name: "Account", cell: ({ node }) => <bdi>{node.account ?? NONE}</bdi> },
	{ name: "From", cell: ({ node }) => node.address ?? NONE },
	{ name: "Mutation", cell: ({ node }) => <code>{node.mutation}</code> },
	{ name: "Outcome", cell: ({ node }) => node.code ?? "done" },
];

/** Who asked for what, the latest first. For administrators. */
export function Audit() {
	const entries = usePages(AUDIT, {}, (data) => data.auditLog);
	return (
		<section aria-labelledby="audit">
			<h2 id="audit">Audit log</h2>
			<p className="quiet">
				All mutations that were executed or forbidden, also those that change nothing, such as <code>predict</code>.
			</p>
			<Answer query={entries} rows={5}>
				{({ pages }) => (
					<Table
						label="Audit log"
						columns={COLUMNS}
						rows={pages.flatMap((page) => page.auditLog.edges)}
						rowKey={({ cursor }) => cursor}
						isNarrow
					/>
				)}
			</Answer>
			<More pages={entries} />
		</section>
	);
}
