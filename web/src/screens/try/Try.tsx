import { useMutation } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { isPassing, useDocument } from "../../api/queries";
import { request } from "../../api/request";
import { graphql } from "../../gql";
import { useMarks } from "../../marks";
import type { TrySearch } from "../../search";
import { Empty } from "../../ui/Answer";
import { FileField, useFileChoice } from "../../ui/FileField";
import { Filters } from "../../ui/Filters";
import { percent } from "../../ui/format";
import { VersionLink } from "../../ui/links";
import { NamedVersion } from "../../ui/NamedVersion";
import { Picture } from "../../ui/Picture";
import { Problem } from "../../ui/Problem";
import { Title } from "../../ui/Title";
import { useLatest } from "../../ui/useLatest";
import { VersionFilter } from "../../ui/VersionFilter";
import { Pad } from "./Pad";
import "./Try.css";

const PREDICT = graphql(`
	mutation Predict($input: PredictInput!) {
		predict(input: $input) {
			predictions {
				class {
					index
					name
				}
				probability
			}
			preparedImage {
				url
				width
				height
			}
			preprocessingSteps
		}
	}
`);

const ATTRIBUTE = graphql(`
	mutation Attribute($input: AttributeImageInput!) {
		attributeImage(input: $input) {
			attribution {
				class {
					name
				}
				overlay {
					url
					width
					height
				}
			}
		}
	}
`);

const BEST = graphql(`
	query MostAccurate {
		models(first: 1, orderBy: { field: ACCURACY, direction: DESC }) {
			nodes {
				id
				name
				best: version(alias: "best") {
					id
					number
				}
			}
		}
	}
`);

/** The most likely classes that are shown. */
const SHOWN = 5;

const route = getRouteApi("/try");

/** What one or two versions make of a drawing or of an image. */
export default function Try() {
	const { a = "", b = "" } = route.useSearch();
	const navigate = route.useNavigate();
	const [image, setImage] = useState<Blob | null>(null);
	const set = (change: Partial<Record<keyof TrySearch, unknown>>) =>
		void navigate({ search: (before) => ({ ...before, ...change }) as TrySearch, replace: true });
	const names = [a, b].filter((name) => name !== "");
	const choice = useFileChoice(setImage);
	return (
		<>
			<Title>Try an image</Title>
			<Filters>
				<VersionFilter label="Version" value={a} onChange={(name) => set({ a: name || undefined })} />
				<VersionFilter label="Beside it" value={b} onChange={(name) => set({ b: name || undefined })} />
			</Filters>
			{names.length === 0 ? (
				<Offers />
			) : (
				<section className="try" aria-label="Image" {...choice.target}>
					<div>
						<Pad onDraw={setImage} />
						<FileField label="Choose, photograph or drop an image" accept="image/png,image/jpeg" choice={choice} />
					</div>
					{names.map((name) => (
						<div key={name} className="tried">
							<NamedVersion name={name}>
								{({ model, number, id }) => (
									<>
										<h2>
											<VersionLink model={model} number={number} />
										</h2>
										<Prediction version={id} image={image} />
									</>
								)}
							</NamedVersion>
						</div>
					))}
				</section>
			)}
		</>
	);
}

/** How to name a version. The marked ones, and else the most accurate, are offered. */
function Offers() {
	const marked = useMarks(({ names }) => names);
	const [best] = useDocument(BEST, {}).data?.models.nodes ?? [];
	const [a, b] = marked.length > 0 ? marked : best?.best ? [`${best.name}:${best.best.number}`] : [];
	return (
		<>
			{a && (
				<p>
					<Link className="button" to="/try" search={{ a, ...(b !== undefined && { b }) }}>
						Try {a}
						{b !== undefined && ` and ${b}`}
					</Link>{" "}
					<span className="quiet">{marked.length > 0 ? "as you have marked" : "the most accurate"}</span>
				</p>
			)}
			<Empty>
				Enter the name of a model, such as <code>plain-1</code>. The <Link to="/">library</Link> lists what there is.
			</Empty>
		</>
	);
}

function Prediction({ version, image }: { version: string; image: Blob | null }) {
	const { answer, error, put } = useLatest((image: Blob) => request(PREDICT, { input: { versionId: version, image } }));
	const attribute = useMutation({
		mutationFn: (image: Blob) =>
			request(ATTRIBUTE, {
				input: { versionId: version, image, settings: { method: "SMOOTH_GRAD" } },
			}),
	});
	const { reset } = attribute;
	// biome-ignore lint/correctness/useExhaustiveDependencies: another version has to be asked too
	useEffect(() => {
		reset();
		void put(image);
	}, [image, version, put, reset]);
	// What was chosen is kept, so that it can be sent again.
	if (error) return <Problem error={error} {...(isPassing(error) && { retry: () => void put(image) })} />;
	if (!answer || !image) return <p className="quiet">Draw something, or choose an image.</p>;
	const { predictions, preparedImage, preprocessingSteps } = answer.predict;
	const attribution = attribute.data?.attributeImage.attribution;
	return (
		<>
			<ol className="predictions" aria-live="polite" aria-label="Most likely classes">
				{predictions.slice(0, SHOWN).map(({ class: { index, name }, probability }) => (
					<li key={index}>
						<bdi>{name}</bdi>
						<meter value={probability} aria-label={`Probability of ${name}`} />
						<span className="number">{percent(probability)}</span>
					</li>
				))}
			</ol>
			<div className="seen">
				<figure>
					<Picture {...preparedImage} alt="The image as the network sees it" />
					<figcaption>as the network sees it</figcaption>
				</figure>
				{attribution ? (
					<figure>
						<Picture
							{...attribution.overlay}
							alt={`The pixels that speak for ${attribution.class.name} and against it`}
						/>
						<figcaption>
							for <bdi>{attribution.class.name}</bdi> red, against it blue
						</figcaption>
					</figure>
				) : (
					<button type="button" disabled={attribute.isPending} onClick={() => attribute.mutate(image)}>
						Which pixels matter?
					</button>
				)}
			</div>
			{attribute.error && <Problem error={attribute.error} />}
			{preprocessingSteps.length > 0 && (
				<details>
					<summary>What was done to the image</summary>
					<ul>
						{preprocessingSteps.map((step) => (
							<li key={step}>{step}</li>
						))}
					</ul>
				</details>
			)}
		</>
	);
}
