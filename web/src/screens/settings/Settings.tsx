import { useMutation } from "@tanstack/react-query";
import { useDocument } from "../../api/queries";
import { signOut } from "../../api/session";
import { graphql } from "../../gql";
import type { SettingsQuery } from "../../gql/graphql";
import { SignIn } from "../../shell/SignIn";
import { Answer } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { Facts } from "../../ui/Facts";
import { integer, percent, bytes as size, words } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { Table } from "../../ui/Table";
import { Title } from "../../ui/Title";
import { Audit } from "./Audit";
import { Tokens } from "./Tokens";
import "./Settings.css";

const SETTINGS = graphql(`
	query Settings {
		viewer {
			account
			scope
		}
		serverInfo {
			version
			device
			caches {
				name
				bytes
				byteLimit
				entries
				hits
				misses
			}
		}
	}
`);

type Cache = SettingsQuery["serverInfo"]["caches"][number];

const CACHES: readonly Column<Cache>[] = [
	{ name: "Cache", cell: ({ name }) => name },
	{ name: "Entries", isNumber: true, cell: ({ entries }) => integer(entries) },
	{ name: "Size", isNumber: true, cell: ({ bytes }) => size(bytes) },
	{ name: "Limit", isNumber: true, cell: ({ byteLimit }) => size(byteLimit) },
	{
		name: "Served from it",
		isNumber: true,
		cell: ({ hits, misses }) => percent(hits + misses > 0 ? hits / (hits + misses) : null),
	},
];

/** Who one is, and what the server does. */
export default function Settings() {
	const settings = useDocument(SETTINGS, {});
	const leaving = useMutation({ mutationFn: signOut });
	return (
		<>
			<Title>Settings</Title>
			<Answer query={settings} rows={6}>
				{({ viewer, serverInfo }) => (
					<>
						<section aria-labelledby="account">
							<h2 id="account">Account</h2>
							{viewer.account === null || viewer.account === undefined ? (
								<>
									<p>
										This server is open: everybody who reaches it may do everything. Sign in to see it as an account
										does.
									</p>
									<SignIn />
								</>
							) : (
								<>
									<Facts>{{ Account: viewer.account, "May do": words(viewer.scope) }}</Facts>
									<button type="button" disabled={leaving.isPending} onClick={() => leaving.mutate()}>
										Sign out
									</button>
									{leaving.error && <Problem error={leaving.error} />}
								</>
							)}
						</section>
						{viewer.account != null && <Tokens scope={viewer.scope} />}
						{viewer.scope === "ADMIN" && <Audit />}
						<section aria-labelledby="server">
							<h2 id="server">Server</h2>
							<Facts>{{ Version: serverInfo.version, Device: serverInfo.device }}</Facts>
							<Table label="Caches" columns={CACHES} rows={serverInfo.caches} rowKey={({ name }) => name} isNarrow />
						</section>
					</>
				)}
			</Answer>
		</>
	);
}
