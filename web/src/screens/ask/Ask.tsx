import { useMutation } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import { isPassing, useDocument } from "../../api/queries";
import { request } from "../../api/request";
import { graphql } from "../../gql";
import type { AskQuery } from "../../gql/graphql";
import type { AskSearch, Measure } from "../../search";
import { Answer, Empty, Skeleton } from "../../ui/Answer";
import { FileField, useFileChoice } from "../../ui/FileField";
import { Filters, MeasureFilter, SelectFilter } from "../../ui/Filters";
import { integer } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { Title } from "../../ui/Title";
import { Matches } from "./Matches";

const PROBE_SETS = graphql(`
	query Ask {
		datasets {
			id
			name
			probeSets {
				id
				imageCount
				isDefault
			}
		}
	}
`);

const SIMILAR = graphql(`
	mutation SimilarToActivations($input: SimilarToActivationsInput!) {
		similarToActivations(input: $input) {
			matches {
				name
				shape
				degenerate
				exact
				completeAbove
				hits {
					rank
					cka
					debiasedCka
					node {
						id
						name
						kind
						version {
							id
							number
							accuracy
							model {
								id
								name
							}
						}
					}
				}
			}
		}
	}
`);

/** Hits for each layer of the file. */
const SHOWN = 5;

/** So many layers of the file are unfolded at first. */
const MOST_OPEN = 5;

const route = getRouteApi("/ask");

/** Asks with a file of activations which layers of the library are most similar to its own. */
export default function Ask() {
	const found = useDocument(PROBE_SETS, {});
	return (
		<>
			<Title>Ask with a file of activations</Title>
			<p className="quiet">
				Run your own network on the images of a probe set, save what its layers put out, and see which layers of the
				library compute the same. Nothing of the file is stored.
			</p>
			<Answer query={found} rows={4}>
				{({ datasets }) => {
					const probeSets = datasets.flatMap(inDataset);
					return probeSets.length === 0 ? (
						<Empty>There is no data set with a probe set yet.</Empty>
					) : (
						<Question probeSets={probeSets} />
					);
				}}
			</Answer>
		</>
	);
}

type ProbeSet = ReturnType<typeof inDataset>[number];

/** The probe sets of a data set, the default one first. */
function inDataset({ name: dataset, probeSets }: AskQuery["datasets"][number]) {
	return [...probeSets]
		.sort((a, b) => Number(b.isDefault) - Number(a.isDefault))
		.map(({ id, imageCount, isDefault }) => ({ id, dataset, imageCount, isDefault }));
}

function Question({ probeSets }: { probeSets: readonly ProbeSet[] }) {
	const search = route.useSearch();
	const navigate = route.useNavigate();
	const [file, setFile] = useState<File | null>(null);
	const choice = useFileChoice(setFile);
	const similar = useMutation({ mutationFn: ask });
	const set = (change: Partial<Record<keyof AskSearch, unknown>>) =>
		void navigate({ search: (before) => ({ ...before, ...change }) as AskSearch, replace: true, resetScroll: false });
	const measure = search.measure ?? "DEBIASED_CKA";
	const chosen = probeSets.find(({ id }) => id === search.probeSet) ?? probeSets[0];
	const { error, variables } = similar;
	return (
		<div {...choice.target}>
			<Filters>
				<SelectFilter
					label="Probe set"
					value={chosen?.id ?? ""}
					options={probeSets.map((probeSet) => [probeSet.id, probeSetName(probeSet)] as const)}
					onChange={(probeSet) => set({ probeSet })}
				/>
				<MeasureFilter value={measure} onChange={(measure) => set({ measure })} />
			</Filters>
			<FileField
				label="Choose or drop a .npz or .safetensors file with an array for each layer"
				accept=".npz,.safetensors"
				choice={choice}
				chosen={file}
			/>
			<p>
				<button
					type="button"
					className="primary"
					disabled={!file || similar.isPending}
					onClick={() => file && chosen && similar.mutate({ file, probeSet: chosen, measure })}
				>
					Find similar layers
				</button>
			</p>
			{similar.isPending && (
				<>
					<p role="status">Sending the file and searching.</p>
					<Skeleton rows={6} />
				</>
			)}
			{error && <Problem error={error} {...(isPassing(error) && { retry: () => similar.mutate(variables) })} />}
			{similar.data && variables && (
				<>
					<p role="status">
						What is most similar to the layers of <bdi>{variables.file.name}</bdi>, on{" "}
						{probeSetName(variables.probeSet)}:
					</p>
					{similar.data.similarToActivations.matches.map((matches, index) => (
						<Matches key={matches.name} matches={matches} isOpen={index < MOST_OPEN} />
					))}
				</>
			)}
		</div>
	);
}

interface Asked {
	file: File;
	probeSet: ProbeSet;
	measure: Measure;
}

function ask({ file, probeSet: { id, dataset }, measure }: Asked) {
	const input = { activations: file, dataset, probeSet: id, measure, first: SHOWN, exact: false };
	return request(SIMILAR, { input });
}

function probeSetName({ dataset, imageCount, isDefault }: ProbeSet): string {
	return `${dataset}, ${integer(imageCount)} images${isDefault ? ", default" : ""}`;
}
