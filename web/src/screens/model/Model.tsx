import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { ModelQuery } from "../../gql/graphql";
import { NotFound } from "../../shell/NoSuchPage";
import { Answer, Empty } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { Facts } from "../../ui/Facts";
import { compact, moment, NONE, percent, words } from "../../ui/format";
import { VersionLink } from "../../ui/links";
import { markColumn } from "../../ui/Mark";
import { Table } from "../../ui/Table";
import { Tags } from "../../ui/Tags";
import { Title } from "../../ui/Title";
import { EditModel } from "./EditModel";
import "./Model.css";

const MODEL = graphql(`
	query Model($name: String!) {
		model(name: $name) {
			id
			name
			description
			tags
			owner
			visibility
			createdAt
			best: version(alias: "best") {
				id
				number
			}
			latest: version(alias: "latest") {
				id
				number
			}
			versions(last: 100) {
				totalCount
				nodes {
					id
					number
					status
					format
					accuracy
					parameterCount
					multiplyAccumulates
					createdAt
					dataset {
						id
						name
					}
					failure {
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
	}
`);

export type Model = NonNullable<ModelQuery["model"]>;

type Version = Model["versions"]["nodes"][number];

const route = getRouteApi("/models/$model");

/** A model and its versions. */
export default function ModelScreen() {
	const { model: name } = route.useParams();
	const model = useDocument(MODEL, { name });
	const [isEditing, setEditing] = useState(false);
	return (
		<Answer query={model} title={name} rows={8}>
			{({ model }) =>
				model ? (
					<>
						<Title
							path={<Link to="/">Library</Link>}
							actions={
								<button type="button" onClick={() => setEditing(true)}>
									Edit
								</button>
							}
						>
							{model.name}
						</Title>
						{model.description && (
							<p className="description" dir="auto">
								{model.description}
							</p>
						)}
						<Facts>
							{{
								Tags: model.tags.length > 0 ? <Tags tags={model.tags} /> : NONE,
								Owner: model.owner ?? "everyone",
								"Seen by": model.visibility === "PRIVATE" ? "its owner" : "everyone",
								Registered: moment(model.createdAt),
							}}
						</Facts>
						<Versions model={model} />
						{isEditing && <EditModel model={model} onClose={() => setEditing(false)} />}
					</>
				) : (
					<NotFound>{`There is no model ${name}`}</NotFound>
				)
			}
		</Answer>
	);
}

function Versions({ model }: { model: Model }) {
	const { nodes, totalCount } = model.versions;
	if (nodes.length === 0) {
		return (
			<Empty command={`scv push --model '${model.name.replaceAll("'", "'\\''")}' --dataset digits network.onnx`}>
				This model has no versions yet. Add one:
			</Empty>
		);
	}
	const newestFirst = [...nodes].reverse();
	return (
		<section aria-labelledby="versions">
			<h2 id="versions">
				{totalCount === 1 ? "1 version" : `${totalCount} versions`}
				{totalCount > nodes.length && `, the newest ${nodes.length} shown`}
			</h2>
			<Table label="Versions" columns={columns(model)} rows={newestFirst} rowKey={(version) => version.id} />
		</section>
	);
}

function columns({ name, latest, best, versions }: Model): readonly Column<Version>[] {
	const earlier = new Map(versions.nodes.map(({ id }, index) => [id, versions.nodes[index - 1]]));
	return [
		{
			name: "Version",
			cell: ({ number }) => (
				<>
					<VersionLink model={name} number={number}>
						version {number}
					</VersionLink>{" "}
					{number === latest?.number && <span className="tag">latest</span>}
					{number === best?.number && <span className="tag">best</span>}
				</>
			),
		},
		{ name: "Status", cell: ({ status, failure }) => <span title={failure?.message}>{words(status)}</span> },
		{ name: "Data set", cell: ({ dataset }) => dataset.name },
		{ name: "Accuracy", isNumber: true, cell: ({ accuracy }) => percent(accuracy) },
		{ name: "Parameters", isNumber: true, cell: ({ parameterCount }) => compact(parameterCount) },
		{ name: "Operations", isNumber: true, cell: ({ multiplyAccumulates }) => compact(multiplyAccumulates) },
		{ name: "Format", cell: ({ format }) => words(format) },
		{ name: "Registered", cell: ({ createdAt }) => moment(createdAt) },
		{
			name: "Compare",
			cell: ({ id, number }) => {
				const before = earlier.get(id);
				return (
					before && (
						<Link to="/compare" search={{ a: `${name}:${before.number}`, b: `${name}:${number}` }}>
							with version {before.number}
						</Link>
					)
				);
			},
		},
		markColumn(({ number }) => ({ model: name, number })),
	];
}
