import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { VersionQuery } from "../../gql/graphql";
import { NotFound } from "../../shell/NoSuchPage";
import { Answer } from "../../ui/Answer";
import { Facts } from "../../ui/Facts";
import { compact, moment, percent, words } from "../../ui/format";
import { Mark } from "../../ui/Mark";
import { Tabs } from "../../ui/Tabs";
import { Title } from "../../ui/Title";
import { WriteButton } from "../../ui/WriteButton";
import { DeleteVersion } from "./DeleteVersion";
import { Evaluation } from "./Evaluation";
import { Files } from "./Files";
import { Network } from "./Network";
import { Relatives } from "./Relatives";
import "./Version.css";

const VERSION = graphql(`
	query Version($model: String!, $number: Int!) {
		model(name: $model) {
			id
			name
			version(number: $number) {
				id
				number
				status
				format
				accuracy
				parameterCount
				multiplyAccumulates
				createdAt
				createdBy
				job {
					id
					status
				}
				dataset {
					id
					name
				}
				failure {
					code
					layer
					message
				}
				duplicateOf {
					id
					number
					model {
						id
						name
					}
				}
			}
		}
	}
`);

type Version = NonNullable<NonNullable<VersionQuery["model"]>["version"]>;

/** A version with the name of its model, which links need. */
export interface NamedVersion {
	model: string;
	version: Version;
}

const TAB_NAMES = { network: "Network", evaluation: "Evaluation", relatives: "Relatives", files: "Files and code" };

const route = getRouteApi("/models/$model/versions/$number");

/** A version of a model. */
export default function VersionScreen() {
	const { model, number } = route.useParams();
	const { tab = "network" } = route.useSearch();
	const found = useDocument(VERSION, { model, number: Number(number) }, { enabled: isNumber(number) });
	const [isDeleting, setDeleting] = useState(false);
	const nothing = <NotFound>{`There is no version ${number} of ${model}`}</NotFound>;
	if (!isNumber(number)) return nothing;
	return (
		<Answer query={found} title={`${model}, version ${number}`} rows={8}>
			{({ model }) => {
				const version = model?.version;
				if (!version) return nothing;
				const named = { model: model.name, version };
				return (
					<>
						<Title
							path={
								<>
									<Link to="/">Library</Link> /{" "}
									<Link to="/models/$model" params={{ model: model.name }}>
										<bdi>{model.name}</bdi>
									</Link>
								</>
							}
							actions={
								<>
									<Mark model={model.name} number={version.number} isTextShown />
									<Link className="button" to="/compare" search={{ a: `${model.name}:${version.number}` }}>
										Compare
									</Link>
									<WriteButton onClick={() => setDeleting(true)}>Delete</WriteButton>
								</>
							}
						>
							{`${model.name}, version ${version.number}`}
						</Title>
						<Notices {...named} />
						<Facts>
							{{
								Status: words(version.status),
								"Data set": version.dataset.name,
								Accuracy: version.accuracy == null ? "not evaluated" : percent(version.accuracy),
								Parameters: compact(version.parameterCount),
								"Operations for an image": compact(version.multiplyAccumulates),
								Format: words(version.format),
								Registered: `${moment(version.createdAt)}${version.createdBy ? ` by ${version.createdBy}` : ""}`,
							}}
						</Facts>
						<Tabs names={TAB_NAMES} tab={tab} label="Parts of the version" />
						{tab === "network" && <Network {...named} />}
						{tab === "evaluation" && <Evaluation {...named} />}
						{tab === "relatives" && <Relatives {...named} />}
						{tab === "files" && <Files {...named} />}
						{isDeleting && <DeleteVersion {...named} onClose={() => setDeleting(false)} />}
					</>
				);
			}}
		</Answer>
	);
}

function isNumber(text: string): boolean {
	return /^[1-9]\d{0,8}$/.test(text);
}

/** What one should know before trusting the version. */
function Notices({ version }: NamedVersion) {
	const { failure, duplicateOf } = version;
	return (
		<>
			{failure && (
				<div className="notice bad" role="alert">
					<strong>{words(failure.code)}</strong>
					{failure.layer && (
						<>
							{" "}
							in layer <code>{failure.layer}</code>
						</>
					)}
					: {failure.message}
				</div>
			)}
			{duplicateOf && (
				<div className="notice" role="note">
					Nearly the same as{" "}
					<Link
						to="/models/$model/versions/$number"
						params={{ model: duplicateOf.model.name, number: String(duplicateOf.number) }}
					>
						<bdi>{duplicateOf.model.name}</bdi>, version {duplicateOf.number}
					</Link>
					: each layer of either has a layer in the other with a debiased CKA of 0.999 or more.
				</div>
			)}
		</>
	);
}
