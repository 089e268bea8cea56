import { useMutation } from "@tanstack/react-query";
import { useDocument } from "../../api/queries";
import { signOut } from "../../api/session";
import { graphql } from "../../gql";
import { SignIn } from "../../shell/SignIn";
import { Answer } from "../../ui/Answer";
import { Facts } from "../../ui/Facts";
import { integer, percent, words } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { Scrolls } from "../../ui/Scrolls";
import { Title } from "../../ui/Title";

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
						<section aria-labelledby="server">
							<h2 id="server">Server</h2>
							<Facts>{{ Version: serverInfo.version, Device: serverInfo.device }}</Facts>
							<Scrolls label="Caches">
								<table className="list narrow">
									<thead>
										<tr>
											<th scope="col">Cache</th>
											<th scope="col" className="number">
												Entries
											</th>
											<th scope="col" className="number">
												Megabytes
											</th>
											<th scope="col" className="number">
												Limit
											</th>
											<th scope="col" className="number">
												Served from it
											</th>
										</tr>
									</thead>
									<tbody>
										{serverInfo.caches.map(({ name, bytes, byteLimit, entries, hits, misses }) => (
											<tr key={name}>
												<td>{name}</td>
												<td className="number">{integer(entries)}</td>
												<td className="number">{integer(Math.round(bytes / 1e6))}</td>
												<td className="number">{integer(Math.round(byteLimit / 1e6))}</td>
												<td className="number">{percent(hits + misses > 0 ? hits / (hits + misses) : null)}</td>
											</tr>
										))}
									</tbody>
								</table>
							</Scrolls>
						</section>
					</>
				)}
			</Answer>
		</>
	);
}
